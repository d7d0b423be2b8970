using AnnRuntime.Tests;
using Xunit;
using Xunit.Sdk;
using Xunit.v3;

// native work already uses every core
[assembly: Parallelization(Mode = ParallelMode.None)]
[assembly: AssemblyFixture(typeof(ModelFixture))]
[assembly: AssemblyFixture(typeof(ToolModelFixture))]
