namespace AnnRuntime.Cli;

/// <summary>What <c>doctor --json</c> writes.</summary>
internal sealed record DoctorReport(
    string RuntimeIdentifier,
    string OperatingSystem,
    string Dotnet,
    string LibraryPath,
    RuntimeInfo Runtime,
    int NeededAbi,
    string? Model,
    IndexCalibration? Index,
    string? CalibrationFile,
    IReadOnlyList<DoctorCheck> Checks);

/// <summary>One thing that has to hold.</summary>
internal sealed record DoctorCheck(string Name, bool Passed, string Detail);
