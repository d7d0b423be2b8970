using System.Globalization;
using System.Text;

namespace AnnRuntime.Server.Endpoints;

/// <summary>The engine's metrics in Prometheus' text format; llama-server's names where it has the same figure.</summary>
internal static class PrometheusText
{
    public static string Write(EngineMetrics metrics)
    {
        var text = new StringBuilder();
        Add(text, "llamacpp:prompt_tokens_total", "counter", "Prompt tokens computed.", metrics.PromptTokens - metrics.CachedTokens);
        Add(text, "llamacpp:prompt_seconds_total", "counter", "Time of prompts, summed over requests.", metrics.PromptTime.TotalSeconds);
        Add(text, "llamacpp:tokens_predicted_total", "counter", "Tokens generated.", metrics.GeneratedTokens);
        Add(text, "llamacpp:tokens_predicted_seconds_total", "counter", "Time of answers, summed over requests.", metrics.DecodeTime.TotalSeconds);
        Add(text, "llamacpp:requests_processing", "gauge", "Requests that are computed.", metrics.Running);
        Add(text, "llamacpp:requests_deferred", "gauge", "Requests that wait.", metrics.Queued);
        Add(text, "llamacpp:n_decode_total", "counter", "Batches computed.", metrics.Steps);
        Add(text, "llamacpp:n_busy_slots_per_decode", "gauge", "Mean requests in a batch.",
            metrics.Steps == 0 ? 0 : (double)metrics.StepRequests / metrics.Steps);
        Add(text, "ann_runtime_prefix_cache_hit_tokens_total", "counter", "Prompt tokens that were not computed again.", metrics.CachedTokens);
        Add(text, "ann_runtime_requests_total", "counter", "Requests that have ended.", metrics.Requests);
        Add(text, "ann_runtime_requests_failed_total", "counter", "Requests that failed.", metrics.Failed);
        Add(text, "ann_runtime_requests_cancelled_total", "counter", "Requests that were cancelled.", metrics.Cancelled);
        Add(text, "ann_runtime_requests_refused_total", "counter", "Requests refused by a full queue.", metrics.Refused);
        Add(text, "ann_runtime_kv_cells_used", "gauge", "Cells in use; shared ones count for each sequence.", metrics.CellsUsed);
        Add(text, "ann_runtime_kv_cells", "gauge", "Cells of the context.", metrics.Cells);
        Add(text, "ann_runtime_search_measured_steps_total", "counter", "Steps whose search was measured (--measure-every).", metrics.MeasuredSteps);
        Add(text, "ann_runtime_search_cells_visible_sum", "counter", "Mean visible cells of measured steps, summed.", metrics.VisibleSum);
        Add(text, "ann_runtime_search_cells_visited_sum", "counter", "Mean attended cells of measured steps, summed.", metrics.VisitedSum);
        Add(text, "ann_runtime_search_mass_sum", "counter", "Attention mass of measured steps, summed.", metrics.MassSum);
        Add(text, "ann_runtime_search_recall_teacher_sum", "counter", "Teacher recall of measured steps, summed.", metrics.TeacherRecallSum);
        Add(text, "ann_runtime_search_index_measured_steps_total", "counter", "Measured steps that searched an index.", metrics.IndexMeasuredSteps);
        Add(text, "ann_runtime_search_recall_index_sum", "counter", "Index recall of these steps, summed.", metrics.IndexRecallSum);
        return text.ToString();
    }

    private static void Add(StringBuilder text, string name, string type, string help, double value) =>
        text.Append(CultureInfo.InvariantCulture, $"# HELP {name} {help}\n# TYPE {name} {type}\n{name} {value}\n");
}
