#!/usr/bin/env bash
# Fails when a benchmark allocates more often than scripts/allocs.txt says: allocs.sh
# Writes that file anew: allocs.sh update
#
# Times depend on the machine and on who else uses it; how often something is allocated does not. Go rounds the number down,
# so what comes once for many operations (a segment of the log, a pool that was emptied) does not count, and a thousand
# operations are enough to tell.
set -euo pipefail
listed=scripts/allocs.txt

# Left out: what depends on how goroutines take turns or on when pools are emptied, what takes long and no event passes, and
# what is compared with. Of patterns that match the beginning of a name Go tries no other, so those of most levels come last.
skip='Contended|Refuses|Compression|WakeUp/=1000|//(generated|dynamic)$'

found=$(mktemp)
log=$(mktemp)
trap 'rm -f "$found" "$log"' EXIT

# What runs servers in other processes has a count of its own.
packages=$(git ls-files --cached --others --exclude-standard '*_test.go' ':!bench' ':!internal/e2e' | xargs grep -l '^func Benchmark' | xargs -n1 dirname | sort -u)
# One processor: then pools are the same in each run, and names are without its number.
if ! go test -run '^$' -bench . -skip "$skip" -benchtime 1000x -benchmem -cpu 1 -timeout 5m ${packages//internal/.\/internal} >"$log" 2>&1; then
  cat "$log"
  exit 1
fi
module=$(go list -m)
awk -v module="$module/" '
  /^pkg: / { package = substr($2, length(module) + 1) }
  /^Benchmark.* allocs\/op$/ { print package "." $1, $(NF - 1) }
' "$log" | LC_ALL=C sort >"$found"

if [[ ${1:-} == update ]]; then
  cp "$found" "$listed"
  echo "allocs: $(wc -l <"$listed") benchmarks noted"
  exit
fi
awk '
  FILENAME == ARGV[1] { listed[$1] = $2; next }
  { now[$1] = $2 }
  END {
    for (name in now) {
      if (!(name in listed)) fail(name " is not listed; it allocates " now[name] " times")
      else if (now[name] + 0 > listed[name] + 0) fail(name " allocates " now[name] " times, listed: " listed[name])
      else if (now[name] + 0 < listed[name] + 0) print "allocs: " name " allocates only " now[name] " times, listed: " listed[name]
    }
    for (name in listed) if (!(name in now)) fail(name " is listed, but did not run")
    if (failed) print "allocs: when that is meant to be so: make allocs UPDATE=1"
    else print "allocs: none of " length(now) " benchmarks allocates more than listed"
    exit failed
  }
  function fail(text) { print "allocs: " text; failed = 1 }
' "$listed" "$found"
