#!/bin/bash
# Downloads the packages of packages.txt (or of the file PACKAGES) that the configured Debian archive has: $WORK/debs, available.txt, missing.txt.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${WORK:-work}
mkdir -p "$work/debs"
work=$(cd "$work" && pwd)
grep -v "^#" "${PACKAGES:-$here/packages.txt}" | awk '{for (i = 2; i <= NF; i++) print $1, $i}' | sort -u -k2,2 > "$work/wanted.txt"
apt-cache pkgnames | sort > "$work/names.txt"
: > "$work/available.txt"
: > "$work/missing.txt"
awk -v have="$work/available.txt" -v lack="$work/missing.txt" \
    'NR == FNR {n[$1] = 1; next} ($2 in n) {print > have; next} {print > lack}' "$work/names.txt" "$work/wanted.txt"
wc -l "$work/available.txt" "$work/missing.txt"
cd "$work/debs"
awk '{print $2}' "$work/available.txt" | xargs -r apt-get download
