using System.Runtime.InteropServices;

namespace AnnRuntime.Cli;

/// <summary>Turns Ctrl-C and SIGTERM into a cancelled token; a verb may take Ctrl-C over for a while.</summary>
internal sealed class Interrupt : IDisposable
{
    private static Action? _handler;

    private readonly CancellationTokenSource _source = new();
    private readonly PosixSignalRegistration _interrupt;
    private readonly PosixSignalRegistration _terminate;

    public Interrupt()
    {
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
    }

    /// <summary>Cancelled by the first signal that no verb takes over.</summary>
    public CancellationToken Token => _source.Token;

    /// <summary>While the result lives, Ctrl-C calls <paramref name="handler"/> instead of ending the program.</summary>
    public static IDisposable TakeOver(Action handler)
    {
        Volatile.Write(ref _handler, handler);
        return new Restore();
    }

    public void Dispose()
    {
        _interrupt.Dispose();
        _terminate.Dispose();
        _source.Dispose();
    }

    private void OnSignal(PosixSignalContext context)
    {
        context.Cancel = true;
        if (context.Signal == PosixSignal.SIGINT && Volatile.Read(ref _handler) is { } handler)
        {
            handler();
        }
        else
        {
            _source.Cancel();
        }
    }

    private sealed class Restore : IDisposable
    {
        public void Dispose() => Volatile.Write(ref _handler, null);
    }
}
