#!/usr/bin/env bash
# Generates into the given folder (the repository's root, or an empty one to compare with): Go code of the protos, those
# of the benchmark too, and docs/options.md.
set -euo pipefail
out=${1:?usage: generate.sh FOLDER}
buf() { go tool -modfile=tools/buf.mod buf "$@"; }

buf generate -o "$out"
if [[ -n $(find internal/demo/proto -name '*.proto' 2>/dev/null) ]]; then
  buf generate --template internal/demo/buf.gen.yaml -o "$out"
fi
mkdir -p "$out/bench" "$out/docs"
out_bench=$(realpath "$out/bench")
(
  cd bench
  for template in buf.gen.yaml internal/gateway/buf.gen.yaml; do
    go tool -modfile=../tools/buf.mod buf generate --template "$template" -o "$out_bench"
  done
)
buf build proto -o - | go run ./internal/docgen >"$out/docs/options.md.new"
mv "$out/docs/options.md.new" "$out/docs/options.md"
