using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace AnnRuntime;

/// <summary>Cells of a prompt in a file: magic, fingerprint of the model file, search, tokens, state of the sequence.</summary>
internal static class PrefixFile
{
    private static ReadOnlySpan<byte> Magic => "ANNPREF1"u8;

    public static int Save(AnnContext context, SlotTable slots, IReadOnlyList<int> prompt, string path)
    {
        // one token more than the prompt, since a common prefix leaves its last token out
        int[] wanted = [.. prompt, 0];
        EngineSlot? slot = slots.All.MaxBy(slot => slot.CommonPrefix(wanted));
        int count = slot?.CommonPrefix(wanted) ?? 0;
        if (slot is null || count == 0)
        {
            throw new InvalidOperationException("The engine holds no cells of this prompt; complete a request with it first.");
        }

        byte[] state = context.SaveState(slot.Sequence);
        string temporary = $"{path}.{Guid.NewGuid():N}.tmp";
        try
        {
            using (var writer = new BinaryWriter(File.Create(temporary)))
            {
                writer.Write(Magic);
                writer.Write(context.Model.Fingerprint);
                writer.Write((int)slot.Choice.Mode);
                writer.Write(slot.Choice.TopK);
                writer.Write(slot.History.Count);
                writer.Write(MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(slot.History)));
                writer.Write(state);
            }

            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }

        return slot.History.Count;
    }

    public static IReadOnlyList<int> Restore(AnnContext context, SlotTable slots, string path)
    {
        byte[] file = File.ReadAllBytes(path);
        int header = Magic.Length + SHA256.HashSizeInBytes + 3 * sizeof(int);
        if (file.Length < header || !file.AsSpan().StartsWith(Magic))
        {
            throw new StateException($"'{path}' is no saved prefix.");
        }

        if (!file.AsSpan(Magic.Length, SHA256.HashSizeInBytes).SequenceEqual(context.Model.Fingerprint))
        {
            throw new StateException($"'{path}' was saved with another model file than '{Path.GetFileName(context.Model.Path)}'.");
        }

        ReadOnlySpan<int> numbers = MemoryMarshal.Cast<byte, int>(file.AsSpan(Magic.Length + SHA256.HashSizeInBytes));
        int count = numbers[2];
        if (count < 1 || count > numbers.Length - 3 || count > context.SequenceLength)
        {
            throw new StateException(
                $"'{path}' says that it has {count} tokens; the file and this context allow 1..{Math.Min(numbers.Length - 3, context.SequenceLength)}.");
        }

        int[] tokens = numbers.Slice(3, count).ToArray();
        EngineSlot slot = slots.LeastUseful(except: null)
            ?? throw new EngineBusyException("Every sequence serves a request; the prefix cannot be restored now.");
        if (slots.Busy.Sum(busy => busy.Reserved) + count > context.Cells)
        {
            throw new EngineBusyException($"The running requests leave no room for {count} cells; the prefix cannot be restored now.");
        }

        slots.Forget(slot);
        if (slots.Cells + count > context.Cells)
        {
            slots.ForgetIdle();
        }

        context.RestoreState(file.AsSpan(header + count * sizeof(int)), slot.Sequence);
        (_, int last) = context.GetSequenceRange(slot.Sequence);
        if (last + 1 != count)
        {
            context.RemoveSequence(slot.Sequence);
            throw new StateException($"'{path}' has {count} tokens but the cells of {last + 1}.");
        }

        slot.History.AddRange(tokens);
        slot.Choice = new SearchChoice((SearchMode)numbers[0], numbers[1]);
        slots.Release(slot);
        return tokens;
    }
}
