#!/usr/bin/env bash
# Fails when a generated file differs from what its source gives today. Touches nothing in the tree.
set -euo pipefail
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

scripts/generate.sh "$fresh"
stale=0
for path in gen internal/demo/gen bench/gen bench/internal/gateway/gen docs/options.md; do
  if [[ -e $path || -e $fresh/$path ]]; then
    diff -ru "$path" "$fresh/$path" || stale=1
  fi
done
if ((stale)); then
  echo "checkgenerate: generated files are stale; run: make generate" >&2
  exit 1
fi
