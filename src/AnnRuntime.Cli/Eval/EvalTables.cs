using AnnRuntime.Evaluation;
using Spectre.Console;

namespace AnnRuntime.Cli;

/// <summary>Evaluations for people, in about 100 columns.</summary>
internal static class EvalTables
{
    public static void Write(Terminal terminal, EvaluationDocument document)
    {
        foreach (EvaluationTable table in EvaluationTables.Of(document))
        {
            terminal.Output.WriteLine(table.Title);
            terminal.Screen.Write(Create(table));
            foreach (string note in table.Notes)
            {
                terminal.Output.WriteLine(note);
            }

            terminal.Output.WriteLine();
        }
    }

    private static Table Create(EvaluationTable source)
    {
        Table table = new Table().Border(TableBorder.None);
        for (int column = 0; column < source.Columns.Count; column++)
        {
            var header = new TableColumn(Markup.Escape(source.Columns[column])).NoWrap().PadRight(2);
            table.AddColumn(column < source.TextColumns ? header : header.RightAligned());
        }

        foreach (IReadOnlyList<string> row in source.Rows)
        {
            table.AddRow([.. row.Select(Markup.Escape)]);
        }

        return table;
    }
}
