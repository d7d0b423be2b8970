using System.Reflection;
using Microsoft.AspNetCore.Http;

namespace AnnRuntime.Server.Endpoints;

/// <summary>The files of the page, which lie in the assembly.</summary>
internal static class PageFile
{
    private const string Policy =
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'";

    public static async Task WriteAsync(HttpContext http, string name, string type)
    {
        http.Response.ContentType = $"{type}; charset=utf-8";
        http.Response.Headers.CacheControl = "no-cache";
        http.Response.Headers.ContentSecurityPolicy = Policy;
        http.Response.Headers.XContentTypeOptions = "nosniff";
        await using Stream file = Assembly.GetExecutingAssembly().GetManifestResourceStream(name)!;
        await file.CopyToAsync(http.Response.Body, http.RequestAborted);
    }
}
