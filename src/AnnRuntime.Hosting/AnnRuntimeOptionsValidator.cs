using Microsoft.Extensions.Options;

namespace AnnRuntime.Hosting;

/// <summary>Says of which model a wrong option is.</summary>
internal sealed class AnnRuntimeOptionsValidator : IValidateOptions<AnnRuntimeOptions>
{
    private readonly GeneratedValidator _generated = new();

    public ValidateOptionsResult Validate(string? name, AnnRuntimeOptions options)
    {
        ValidateOptionsResult result = _generated.Validate(name, options);
        return result.Failed
            ? ValidateOptionsResult.Fail(result.Failures.Select(failure => $"AnnRuntime:{name}: {failure}"))
            : result;
    }
}

/// <summary>Asks the options themselves, without reflection.</summary>
[OptionsValidator]
internal sealed partial class GeneratedValidator : IValidateOptions<AnnRuntimeOptions>;
