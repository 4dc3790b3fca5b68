#!/usr/bin/env bash
# Puts headers of others into a folder, for checks and examples; building libmedclf needs none of them.
#
#     native/tools/fetch_headers.sh onnxruntime build/headers/onnxruntime    # for the check of native/src/ort_api.h
#     native/tools/fetch_headers.sh httplib build/headers/httplib            # for examples/embed-cpp
#     cmake -S . -B build/native -DONNXRUNTIME_INCLUDE_DIR=build/headers/onnxruntime
#
# They come from Debian trixie, by the mirror that this machine uses: the first release that has ONNX Runtime, and of
# cpp-httplib the source package, as the binary one leaves the code out of the header. Nothing is installed, the
# machine's own lists of packages stay as they are, and root is not needed. Needs Debian or Ubuntu.
set -euo pipefail
what=${1:?onnxruntime or httplib}
target=${2:?folder}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# apt-get with lists, cache and sources of its own
apt() {
  apt-get -qq -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o "Dir::Etc::SourceList=$work/sources.list" \
    -o Dir::Etc::SourceParts=- -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
}

# use deb|deb-src: what the source list offers
use() {
  local mirror
  mirror=$(apt-get indextargets --format '$(SITE)' 'Origin: Debian' | grep -v security | head -n 1)
  mkdir -p "$work"/lists/partial "$work"/cache/archives/partial
  echo "$1 [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:?no mirror of Debian is known} trixie main" \
    > "$work/sources.list"
  apt update
}

mkdir -p "$target"
target=$(cd "$target" && pwd)
cd "$work"
case $what in
  onnxruntime)
    use deb
    apt download libonnxruntime-dev
    dpkg-deb -x libonnxruntime-dev_*.deb unpacked
    cp -r unpacked/usr/include/onnxruntime/. "$target/"
    grep -m1 'define ORT_API_VERSION' "$target/onnxruntime_c_api.h"
    ;;
  httplib)
    use deb-src
    apt source --download-only cpp-httplib
    tar -xf cpp-httplib_*.orig.tar.* --strip-components=1
    cp httplib.h "$target/"
    grep -m1 'define CPPHTTPLIB_VERSION' "$target/httplib.h"
    ;;
  *)
    echo "$what: expected onnxruntime or httplib" >&2
    exit 2
    ;;
esac
