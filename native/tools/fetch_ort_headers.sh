#!/usr/bin/env bash
# Puts the official headers of ONNX Runtime into a folder, for the check of native/src/ort_api.h:
#
#     native/tools/fetch_ort_headers.sh build/ort-headers
#     cmake -S . -B build/native -DONNXRUNTIME_INCLUDE_DIR=build/ort-headers
#
# They are those of Debian trixie's libonnxruntime-dev, from the mirror that this machine uses. Nothing is installed, and
# the machine's own lists of packages stay as they are. Needs Debian or Ubuntu.
set -euo pipefail
target=${1:?folder}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(apt-get indextargets --format '$(SITE)' 'Origin: Debian' | grep -v security | head -n 1)
mkdir -p "$work"/lists/partial "$work"/cache/archives/partial "$target"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:?no mirror of Debian is known} trixie main" \
  > "$work/sources.list"
options=(
  -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o "Dir::Etc::SourceList=$work/sources.list"
  -o Dir::Etc::SourceParts=- -o Acquire::Languages=none -o APT::Sandbox::User=root
)
apt-get "${options[@]}" -qq update
(cd "$work" && apt-get "${options[@]}" -qq download libonnxruntime-dev && dpkg-deb -x libonnxruntime-dev_*.deb unpacked)
cp -r "$work"/unpacked/usr/include/onnxruntime/. "$target/"
grep -m1 'define ORT_API_VERSION' "$target/onnxruntime_c_api.h"
