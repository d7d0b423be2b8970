using System.Buffers.Binary;
using System.Text;

namespace AnnRuntime.Gguf;

/// <summary>Reads the data pickle of a PyTorch checkpoint without running any of it.</summary>
/// <remarks>
/// It knows the opcodes and the names that tensors, dictionaries, lists, tuples, text and numbers need. Every other
/// opcode and every other name is refused by name: nothing is looked up, imported or called.
/// Source: Python's pickletools; torch/serialization.py for the names.
/// </remarks>
internal sealed class PickleInterpreter(string source, byte[] pickle)
{
    private readonly Stack<object?> _stack = [];
    private readonly Dictionary<uint, object?> _memo = [];
    private int _position;

    /// <summary>
    /// Runs to the end and returns the object: text, number, list, tuple, dictionary, tensor or null.
    /// </summary>
    /// <exception cref="TensorFileException">Truncated, malformed, or something that is refused.</exception>
    public object? Run()
    {
        while (true)
        {
            int at = _position;
            byte opcode = ReadByte();
            if (opcode == (byte)'.')
            {
                return Pop() is var result && _stack.Count == 0 ? result : throw Fail(
                    "the stack is not empty at the end");
            }

            if (!Simple(opcode) && !Container(opcode) && !Special(opcode))
            {
                throw new TensorFileException(
                    source, at, $"the pickle uses opcode 0x{opcode:x2}, which tensors do not need; refused");
            }
        }
    }

    private sealed class Mark
    {
        public static readonly Mark Instance = new();
    }

    // values that push themselves, and the memo
    private bool Simple(byte opcode)
    {
        switch (opcode)
        {
            case 0x80: // PROTO
                byte version = ReadByte();
                return version is >= 2 and <= 5 ? true : throw Fail(
                    $"the pickle protocol is {version}; expected 2 to 5");
            case 0x95: // FRAME
                _ = Take(8);
                return true;
            case (byte)'N':
                return Push(null);
            case 0x88:
                return Push(true);
            case 0x89:
                return Push(false);
            case (byte)'K':
                return Push((long)ReadByte());
            case (byte)'M':
                return Push((long)BinaryPrimitives.ReadUInt16LittleEndian(Take(2)));
            case (byte)'J':
                return Push((long)BinaryPrimitives.ReadInt32LittleEndian(Take(4)));
            case 0x8a: // LONG1
                return Push(ReadLong(ReadByte()));
            case (byte)'G':
                return Push(BinaryPrimitives.ReadDoubleBigEndian(Take(8)));
            case (byte)'X':
                return Push(ReadText(BinaryPrimitives.ReadUInt32LittleEndian(Take(4))));
            case 0x8c: // SHORT_BINUNICODE
                return Push(ReadText(ReadByte()));
            case (byte)'q':
                return Memoize(ReadByte());
            case (byte)'r':
                return Memoize(BinaryPrimitives.ReadUInt32LittleEndian(Take(4)));
            case 0x94: // MEMOIZE
                return Memoize((uint)_memo.Count);
            case (byte)'h':
                return Recall(ReadByte());
            case (byte)'j':
                return Recall(BinaryPrimitives.ReadUInt32LittleEndian(Take(4)));
            default:
                return false;
        }
    }

    private bool Container(byte opcode)
    {
        switch (opcode)
        {
            case (byte)'(':
                return Push(Mark.Instance);
            case (byte)'}':
                return Push(new PickleDictionary());
            case (byte)']':
                return Push(new List<object?>());
            case (byte)')':
                return Push(Array.Empty<object?>());
            case (byte)'t':
                return Push(PopToMark());
            case 0x85 or 0x86 or 0x87: // TUPLE1 to TUPLE3
                return Push(Pop(opcode - 0x84));
            case (byte)'a':
                object? item = Pop();
                Peek<List<object?>>("a list").Add(item);
                return true;
            case (byte)'e':
                object?[] items = PopToMark();
                Peek<List<object?>>("a list").AddRange(items);
                return true;
            case (byte)'s':
                SetItems(Pop(2));
                return true;
            case (byte)'u':
                SetItems(PopToMark());
                return true;
            default:
                return false;
        }
    }

    // names, persistent storages, and the three calls that are understood
    private bool Special(byte opcode)
    {
        switch (opcode)
        {
            case (byte)'c':
                string module = ReadLine();
                return Push(Allow($"{module}.{ReadLine()}"));
            case 0x93: // STACK_GLOBAL
                object?[] parts = Pop(2);
                return Push(Allow($"{parts[0] as string}.{parts[1] as string}"));
            case (byte)'Q': // BINPERSID
                return Push(TorchStorage.FromTuple(Pop() as object?[]) ?? throw Fail(
                    "a persistent id is not a tensor storage"));
            case (byte)'R':
                object?[] arguments = Pop() as object?[] ?? throw Fail("the arguments of a call are not a tuple");
                return Push(Reduce(Pop() as PickleName ?? throw Fail(
                    "a call of something that is not a name"), arguments));
            case (byte)'b': // BUILD: attributes of an OrderedDict, such as _metadata; they are dropped
                _ = Pop();
                _ = Peek<PickleDictionary>("a dictionary");
                return true;
            default:
                return false;
        }
    }

    private PickleName Allow(string name) => name switch
    {
        "collections.OrderedDict" or "torch._utils._rebuild_tensor_v2" or "torch._utils._rebuild_parameter"
            or "torch.FloatStorage" or "torch.HalfStorage" or "torch.BFloat16Storage" => new PickleName(name),
        _ => throw Fail($"the pickle names {Printable(name)}, which tensors do not need; refused"),
    };

    private object Reduce(PickleName name, object?[] arguments) => name.Text switch
    {
        "collections.OrderedDict" when arguments.Length == 0 => new PickleDictionary(),
        "torch._utils._rebuild_tensor_v2" =>
            TorchTensor.FromArguments(arguments) ?? throw Fail(
                "the arguments of _rebuild_tensor_v2 are not a tensor's"),
        "torch._utils._rebuild_parameter" when arguments is [TorchTensor tensor, ..] => tensor,
        _ => throw Fail($"a call of {name.Text} with {arguments.Length} arguments; refused"),
    };

    private void SetItems(object?[] items)
    {
        PickleDictionary dictionary = Peek<PickleDictionary>("a dictionary");
        if (items.Length % 2 != 0)
        {
            throw Fail("a dictionary key has no value");
        }

        for (int i = 0; i < items.Length; i += 2)
        {
            string key = items[i] switch
            {
                string text => text,
                long number => $"{number}",
                _ => throw Fail("a dictionary key is neither text nor a whole number"),
            };
            dictionary[key] = items[i + 1];
        }
    }

    private object ReadLong(int length)
    {
        ReadOnlySpan<byte> bytes = Take(length);
        return length <= 8
            ? length == 0 ? 0L : (long)new System.Numerics.BigInteger(bytes)
            : throw Fail($"a whole number of {length} bytes; expected at most 8");
    }

    private string ReadText(uint length)
    {
        try
        {
            return ByteCursor.StrictUtf8.GetString(Take(length));
        }
        catch (DecoderFallbackException e)
        {
            throw new TensorFileException(source, _position, "the pickle holds text that is not valid UTF-8", e);
        }
    }

    private string ReadLine()
    {
        int length = pickle.AsSpan(_position).IndexOf((byte)'\n');
        string line = length >= 0 ? Encoding.UTF8.GetString(Take((uint)length)) : throw Fail("a name does not end");
        _ = ReadByte();
        return line;
    }

    private byte ReadByte() => Take(1)[0];

    private ReadOnlySpan<byte> Take(long length)
    {
        if (length > pickle.Length - _position)
        {
            throw Fail($"{length} bytes are needed, but the pickle ends at {pickle.Length}");
        }

        _position += (int)length;
        return pickle.AsSpan(_position - (int)length, (int)length);
    }

    private bool Push(object? value)
    {
        _stack.Push(value);
        return true;
    }

    private object? Pop() =>
        _stack.TryPop(out object? value) && value is not Mark ? value : throw Fail("the stack is empty");

    private object?[] Pop(int count)
    {
        object?[] values = new object?[count];
        for (int i = count - 1; i >= 0; i--)
        {
            values[i] = Pop();
        }

        return values;
    }

    private object?[] PopToMark()
    {
        List<object?> values = [];
        while (_stack.TryPop(out object? value))
        {
            if (value is Mark)
            {
                values.Reverse();
                return [.. values];
            }

            values.Add(value);
        }

        throw Fail("a mark is missing");
    }

    private T Peek<T>(string expected)
        where T : class =>
        _stack.TryPeek(out object? value) && value is T found ? found : throw Fail($"expected {expected} on the stack");

    private bool Memoize(uint index)
    {
        _memo[index] = _stack.TryPeek(out object? value) && value is not Mark ? value : throw Fail(
            "nothing to remember");
        return true;
    }

    private bool Recall(uint index) =>
        _memo.TryGetValue(index, out object? value) ? Push(value) : throw Fail($"memo entry {index} does not exist");

    private static string Printable(string name) =>
        new([.. name.Take(80).Select(c => char.IsControl(c) ? '?' : c)]);

    private TensorFileException Fail(string problem) => new(source, _position, problem);
}
