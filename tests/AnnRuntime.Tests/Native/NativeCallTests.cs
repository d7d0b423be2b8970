using AnnRuntime.Native;
using Xunit;

namespace AnnRuntime.Tests.Native;

public sealed class NativeCallTests
{
    [Fact]
    public void Every_status_has_its_exception()
    {
        (AnnStatus Status, Type Type)[] table =
        [
            (AnnStatus.InvalidArgument, typeof(ArgumentException)),
            (AnnStatus.CannotLoad, typeof(InvalidModelException)),
            (AnnStatus.Unsupported, typeof(UnsupportedModelException)),
            (AnnStatus.OutOfMemory, typeof(NotEnoughMemoryException)),
            (AnnStatus.ContextFull, typeof(ContextFullException)),
            (AnnStatus.Cancelled, typeof(OperationCanceledException)),
            (AnnStatus.BadState, typeof(StateException)),
            (AnnStatus.Busy, typeof(InvalidOperationException)),
            (AnnStatus.BufferTooSmall, typeof(AnnRuntimeException)),
            (AnnStatus.Internal, typeof(AnnRuntimeException)),
        ];

        Assert.Equal(Enum.GetValues<AnnStatus>().Except([AnnStatus.Ok]), table.Select(row => row.Status));
        foreach ((AnnStatus status, Type type) in table)
        {
            Exception exception = NativeCall.ToException(status, "top_k is 0; it must be at least 1.");
            Assert.IsType(type, exception);
            Assert.Equal("top_k is 0; it must be at least 1.", exception.Message);
        }
    }

    [Fact]
    public void A_status_without_a_message_still_says_what_happened()
    {
        Assert.Contains("ContextFull", NativeCall.ToException(AnnStatus.ContextFull, "").Message);
    }

    [Fact]
    public void A_cancelled_call_names_the_token()
    {
        using var source = new CancellationTokenSource();
        var exception = Assert.IsType<OperationCanceledException>(
            NativeCall.ToException(AnnStatus.Cancelled, "stopped", source.Token));
        Assert.Equal(source.Token, exception.CancellationToken);
    }
}
