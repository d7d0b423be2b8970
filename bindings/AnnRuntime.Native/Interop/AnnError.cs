using System.Runtime.InteropServices;

namespace AnnRuntime.Native;

/// <summary>The caller-owned error of one call. Mirrors <c>ann_error</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct AnnError
{
    public const int MessageBytes = 1016;

    public uint StructSize;
    public int Status;
    public fixed byte Message[MessageBytes];

    /// <summary>An empty error of the right size.</summary>
    public static AnnError New() => new() { StructSize = (uint)sizeof(AnnError) };

    /// <summary>The sentence, or an empty text.</summary>
    public readonly string Text()
    {
        fixed (byte* message = Message)
        {
            return NativeText.FromBuffer(new ReadOnlySpan<byte>(message, MessageBytes));
        }
    }
}
