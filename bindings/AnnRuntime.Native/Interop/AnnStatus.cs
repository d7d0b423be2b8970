namespace AnnRuntime.Native;

/// <summary>What every fallible native function returns. Mirrors <c>ann_status</c>.</summary>
internal enum AnnStatus
{
    Ok = 0,
    InvalidArgument = 1,
    CannotLoad = 2,
    Unsupported = 3,
    OutOfMemory = 4,
    ContextFull = 5,
    Cancelled = 6,
    BadState = 7,
    Busy = 8,
    BufferTooSmall = 9,
    Internal = 10,
}
