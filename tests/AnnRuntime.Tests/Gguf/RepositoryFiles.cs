namespace AnnRuntime.Tests.Gguf;

/// <summary>Files of the repository that tests read.</summary>
internal static class RepositoryFiles
{
    public static string EmbeddedModel => At("models/ann-rotated-d64-q8_0.gguf");

    public static string ContentProjections => At("models/projections/projections-content-d64.safetensors");

    public static string RotatedProjections128 => At("models/projections/projections-rotated-d128.safetensors");

    public static string Filler => At("models/filler.txt");

    private static string At(string path)
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string candidate = Path.Combine(folder.FullName, path);
            if (File.Exists(candidate))
            {
                return candidate;
            }
        }

        throw new FileNotFoundException($"{path} is not in any folder above {AppContext.BaseDirectory}.");
    }
}
