using System.CommandLine;
using System.Globalization;
using System.Runtime.InteropServices;
using Spectre.Console;

namespace AnnRuntime.Cli.Commands;

/// <summary>The verb <c>doctor</c>: says what this machine and this build can do.</summary>
internal static class DoctorCommand
{
    public static Command Create()
    {
        Option<bool> json = JsonArgument.Create();
        Option<bool> calibrate = new("--calibrate")
        {
            Description = "Measures the depth of --ann auto again, whatever is known of it.",
        };
        Command command = new(
            "doctor",
            "Shows runtime identifier, CPU features, devices, library path and versions, from which depth on a search by index is "
            + "faster than exact search here (--ann auto), and checks that all of it works. That depth is measured once and kept in "
            + "a file, which ANN_CALIBRATION_FILE names (off: none). "
            + "Exit code 1 if a check fails, 3 if the native library cannot be loaded.");
        command.Options.Add(calibrate);
        command.Options.Add(json);
        return command.Runs((parse, terminal, _) =>
        {
            Verbosity.Apply(parse, terminal);
            DoctorReport report = Examine(parse.GetValue(calibrate));
            if (parse.GetValue(json))
            {
                JsonOutput.Write(terminal, report, types => types.DoctorReport);
            }
            else
            {
                Write(terminal, report);
            }

            return Task.FromResult(report.Checks.All(check => check.Passed) ? ExitCode.Ok : ExitCode.Failed);
        });
    }

    private const int KeyDimensions = 64; // of the embedded model's search keys

    private static DoctorReport Examine(bool calibrate)
    {
        RuntimeInfo info = RuntimeInfo.Get();
        string model = Path.GetFullPath(ModelArguments.FindDefault());
        bool hasModel = File.Exists(model);
        int devices = info.Backends.Sum(backend => backend.Devices.Count);
        DoctorCheck[] checks =
        [
            new("ABI version", info.Abi == RuntimeInfo.NeededAbi, $"library {info.Abi}, needed {RuntimeInfo.NeededAbi}"),
            new("compute devices", devices > 0, $"{devices} found"),
            new("embedded model", hasModel, hasModel ? model : $"{model} does not exist"),
        ];
        return new DoctorReport(
            RuntimeInfo.RuntimeIdentifier,
            RuntimeInformation.OSDescription,
            RuntimeInformation.FrameworkDescription,
            RuntimeInfo.LibraryPath ?? "",
            info,
            RuntimeInfo.NeededAbi,
            hasModel ? model : null,
            devices > 0 ? IndexCalibration.Measure(KeyDimensions, again: calibrate) : null,
            IndexCalibration.File,
            checks);
    }

    private static void Write(Terminal terminal, DoctorReport report)
    {
        RuntimeInfo info = report.Runtime;
        Grid grid = new Grid().AddColumn(new GridColumn().NoWrap().PadRight(2)).AddColumn();
        void Row(string name, string value) => grid.AddRow(new Text(name), new Text(value));
        Row("runtime identifier", report.RuntimeIdentifier);
        Row("operating system", report.OperatingSystem);
        Row(".NET", report.Dotnet);
        Row("native library", report.LibraryPath);
        Row("version", $"{info.Version}, ABI {info.Abi}, {info.BuildType}, {info.Compiler}");
        Row("llama.cpp", $"{info.LlamaCpp} ({info.LlamaCppCommit})");
        Row("CPU variant", info.CpuVariant.Length > 0 ? info.CpuVariant : "the only one");
        Row("CPU features", string.Join(' ', info.Cpu.Where(feature => feature.Value != 0)
            .Select(feature => feature.Value == 1 ? feature.Key : $"{feature.Key}={feature.Value}")));
        foreach (BackendInfo backend in info.Backends)
        {
            foreach (DeviceInfo device in backend.Devices)
            {
                Row(
                    $"device {device.Name}",
                    $"{device.Description} ({device.Type}, {Format.Bytes(device.MemoryFreeBytes)} free of "
                    + $"{Format.Bytes(device.MemoryTotalBytes)})");
            }
        }

        if (report.Index is { } index)
        {
            Row(
                "--ann auto",
                (index.MinContext is { } depth ? $"search by index from {Format.Count(depth)} cells on" : "always exact search")
                + $" (search keys of {index.Dimensions} values, {index.SearchKeyType}, {index.Threads} threads, K {index.TopK}; at "
                + $"{Format.Count(index.MeasuredCells)} cells exact {index.ExactTime.TotalMicroseconds:0} us, index "
                + $"{index.IndexTime.TotalMicroseconds:0} us a layer and token)");
            Row(
                "",
                string.Create(CultureInfo.InvariantCulture, $"measured {index.MeasuredAt:yyyy-MM-dd HH:mm} UTC")
                + (index.FromFile ? ", read from " : ", now; kept in ") + (index.IsKept ? report.CalibrationFile : "no file"));
        }

        foreach (DoctorCheck check in report.Checks)
        {
            Row($"check: {check.Name}", $"{(check.Passed ? "ok" : "FAILED")}, {check.Detail}");
        }

        terminal.Screen.Write(grid);
    }
}
