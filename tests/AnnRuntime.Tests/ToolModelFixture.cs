using AnnRuntime.Gguf;

namespace AnnRuntime.Tests;

/// <summary>The embedded model under a chat template that has a form for tool calls (Hermes' and Qwen's), loaded once.</summary>
/// <remarks>What it says means as little as before, but a required call has to follow the grammar.</remarks>
public sealed class ToolModelFixture : IDisposable
{
    private const string Template = """
        {%- if tools %}
            {{- '<|im_start|>system\n' }}
            {%- if messages[0].role == 'system' %}
                {{- messages[0].content + '\n\n' }}
            {%- endif %}
            {{- "You may call functions. Their signatures:\n<tools>" }}
            {%- for tool in tools %}
                {{- "\n" }}
                {{- tool | tojson }}
            {%- endfor %}
            {{- "\n</tools>\nA call is a JSON object with the function's name and arguments:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n" }}
        {%- elif messages[0].role == 'system' %}
            {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
        {%- endif %}
        {%- for message in messages %}
            {%- if message.role == "user" or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
                {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
            {%- elif message.role == "assistant" %}
                {{- '<|im_start|>assistant' }}
                {%- if message.content %}
                    {{- '\n' + message.content }}
                {%- endif %}
                {%- for tool_call in message.tool_calls %}
                    {%- set call = tool_call.function %}
                    {{- '\n<tool_call>\n{"name": "' }}
                    {{- call.name }}
                    {{- '", "arguments": ' }}
                    {{- call.arguments | tojson }}
                    {{- '}\n</tool_call>' }}
                {%- endfor %}
                {{- '<|im_end|>\n' }}
            {%- elif message.role == "tool" %}
                {{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
            {%- endif %}
        {%- endfor %}
        {%- if add_generation_prompt %}
            {{- '<|im_start|>assistant\n' }}
        {%- endif %}
        """;

    private readonly TemporaryFile _file = new();
    private readonly Lazy<AnnModel> _model;

    public ToolModelFixture() => _model = new(Load);

    public AnnModel Model => _model.Value;

    public void Dispose()
    {
        if (_model.IsValueCreated)
        {
            _model.Value.Dispose();
        }

        _file.Dispose();
    }

    private AnnModel Load()
    {
        using (GgufFile source = GgufFile.Open(ModelFixture.ModelPath))
        using (FileStream copy = File.Create(_file.Path))
        {
            var metadata = new GgufMetadata(source.Metadata)
            {
                ["tokenizer.chat_template"] = GgufValue.From(Template),
            };
            GgufWriter.Write(copy, metadata, [.. source.Tensors.Select(tensor => GgufTensorSource.Copy(source, tensor))]);
        }

        return AnnModel.Load(_file.Path);
    }
}
