using System.Security.Cryptography;

namespace AnnRuntime;

/// <summary>What tells a model file from another: its length and a mebibyte at either end, hashed.</summary>
internal static class FileFingerprint
{
    private const int PartBytes = 1 << 20;

    /// <exception cref="IOException">The file is gone or was cut.</exception>
    public static byte[] Of(string path)
    {
        using FileStream file = File.OpenRead(path);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] part = new byte[Math.Min(file.Length, PartBytes)];
        hash.AppendData(BitConverter.GetBytes(file.Length));
        file.ReadExactly(part);
        hash.AppendData(part);
        file.Seek(-part.Length, SeekOrigin.End);
        file.ReadExactly(part);
        hash.AppendData(part);
        return hash.GetHashAndReset();
    }
}
