#!/usr/bin/env bash
# Generates into the given folder (the repository's root, or an empty one to compare with): Go code of the protos and
# docs/options.md.
set -euo pipefail
out=${1:?usage: generate.sh FOLDER}
buf() { go tool -modfile=tools/buf.mod buf "$@"; }

buf generate -o "$out"
if [[ -n $(find internal/demo/proto -name '*.proto' 2>/dev/null) ]]; then
  buf generate --template internal/demo/buf.gen.yaml -o "$out"
fi
mkdir -p "$out/docs"
buf build proto -o - | go run ./internal/docgen >"$out/docs/options.md.new"
mv "$out/docs/options.md.new" "$out/docs/options.md"
