#!/bin/bash
# Text for training projections, without what is evaluated on: $WORK/projection-text.txt and projection-text.npy.
# HELDOUT: files whose lines must not be trained on (held-out text, prompts' filler), separated by spaces.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
export WORK=${WORK:-work}
PACKAGES="$here/projection_packages.txt" "$here/fetch_packages.sh"
python3 "$here/extract_text.py"
PYTHONHASHSEED=0 python3 "$here/select_documents.py"
python3 "$here/projection_text.py" ${HELDOUT:-"$here/../filler.txt" "$here/../../tests/data/heldout-131k.txt"}
