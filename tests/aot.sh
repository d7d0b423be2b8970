#!/usr/bin/env bash
# Compiles the console sample and a program that hosts a model ahead of time, and runs both:
#
#   tests/aot.sh
#
# Not a part of ./ann test: the compiler (a package of 200 MB) is fetched the first time, and it takes minutes. Warnings of
# the trimmer are errors. Needs clang or gcc, and the native library (./ann doctor builds it).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export ANN_RUNTIME_DIR=${ANN_RUNTIME_DIR-$PWD/build/cpu/bin}
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1
model=models/ann-rotated-d64-q8_0.gguf
rid=linux-$(uname -m | sed 's/x86_64/x64/; s/aarch64/arm64/')
linker=$(command -v clang || command -v gcc) || { echo "Neither clang nor gcc is there; apt-get install clang." >&2; exit 3; }

publish() { # project, program
    echo "Compiling $1 ahead of time ..." >&2
    dotnet publish "$1" -c Release -r "$rid" -p:PublishAot=true -p:CppCompilerAndLinker="$linker" \
        -o "build/aot/$2" -v q --tl:off -nodeReuse:false >&2
    ls -l "build/aot/$2/$2" | awk '{ printf "%s: %.1f MB\n", "'"$2"'", $5/1e6 }'
}

publish samples/Console AnnRuntime.Samples.Console
answer=$(printf 'What does a compiler do?\n\n' | build/aot/AnnRuntime.Samples.Console/AnnRuntime.Samples.Console "$model")
printf '%s\n' "$answer"
grep -q 'tokens, 0 of them cached' <<<"$answer" || { echo "The sample gave no answer." >&2; exit 1; }

publish tests/AnnRuntime.AotTests AnnRuntime.AotTests
build/aot/AnnRuntime.AotTests/AnnRuntime.AotTests "$model"
