#!/usr/bin/env bash
# One environment a peer: install.sh FOLDER makes FOLDER/PEER for each requirements-PEER.txt, and prints the
# --python options that name them. A peer that cannot be installed is told and left out.
set -u
here=$(dirname "$0")
for file in "$here"/requirements-*.txt; do
  peer=$(basename "$file" .txt); peer=${peer#requirements-}
  python=$1/$peer/bin/python
  if ! [ -e "$1/$peer/installed" ]; then
    echo "installing $peer" >&2
    "${PYTHON:-python3}" -m venv "$1/$peer" && "$python" -m pip install --quiet -r "$file" >&2 \
    && touch "$1/$peer/installed" || { echo "$peer cannot be installed here: it is left out" >&2; continue; }
  fi
  printf -- '--python %s=%s ' "$peer" "$python"
done
