using System.CommandLine;

namespace AnnRuntime.Cli.Commands;

/// <summary>The verb <c>report</c>: a page and plots from benchmark records.</summary>
internal static class ReportCommand
{
    public static Command Create()
    {
        Option<string?> records = new("--records")
        {
            Description = "Folder of records. Default: benchmarks/records of this checkout.", HelpName = "DIR",
        };
        Option<string?> output = new("--output", "-o")
        {
            Description = "Folder of RESULTS.md and plots/. Default: benchmarks of this checkout.", HelpName = "DIR",
        };
        Command command = new("report", "Writes RESULTS.md and SVG plots from the records of ./ann bench.") { records, output };
        return command.Runs((parse, terminal, _) =>
        {
            string from = parse.GetValue(records) ?? BenchRecord.DefaultFolder;
            string to = parse.GetValue(output) ?? Path.Combine(BenchMachine.Root, "benchmarks");
            if (!Directory.Exists(from))
            {
                throw new IOException($"There are no records: the folder {from} does not exist.");
            }

            IReadOnlyList<BenchRecord> found = BenchRecord.ReadAll(from);
            if (found.Count == 0)
            {
                throw new IOException($"There are no records below {from}.");
            }

            foreach (string file in ResultsPage.Write(found, to))
            {
                terminal.Output.WriteLine(file);
            }

            return Task.FromResult(ExitCode.Ok);
        });
    }
}
