#!/usr/bin/env bash
# Runs every fuzz target of the module, each for the given time: fuzz.sh 3s
set -euo pipefail
fuzztime=${1:?usage: fuzz.sh TIME}

count=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

while IFS=: read -r file decl; do
  name=${decl#func }
  for attempt in 1 2 3; do
    if go test -run '^$' -fuzz "^$name\$" -fuzztime "$fuzztime" "./$(dirname "$file")" >"$log" 2>&1; then
      break
    fi
    # Go's fuzzer sometimes reports the end of its own time as a failure; a real one names its input.
    if ((attempt == 3)) || ! grep -q 'context deadline exceeded' "$log" || grep -q 'Failing input written' "$log"; then
      cat "$log"
      exit 1
    fi
  done
  count=$((count + 1))
  echo "fuzz: $name ($(dirname "$file")) $(grep -Eo 'execs: [0-9]+' "$log" | tail -1)"
done < <(git ls-files --cached --others --exclude-standard '*_test.go' |
  xargs grep -HEo '^func Fuzz[A-Za-z0-9_]*' | sort)

echo "fuzz: $count targets, $fuzztime each"
