namespace AnnRuntime.Native;

/// <summary>One message of the native library.</summary>
/// <param name="Level">1 debug, 2 info, 3 warning, 4 error.</param>
/// <param name="Text">Without the line end.</param>
internal readonly record struct NativeLogRecord(int Level, string Text);
