#!/usr/bin/env bash
# Fuzzes every target, two at a time, one worker each:
#
#   scripts/fuzz.sh FOR [OTHERS]     durations as go test takes them
#
# With OTHERS, only the heads of requests and responses, the directives and the stored entries are fuzzed for FOR, all other
# targets for OTHERS. What fails is printed with its input, which is a file that belongs into the package's corpus.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# go.mod names the toolchain: see the Makefile.
export GOTOOLCHAIN=auto

readonly subjects=' (FuzzHead|FuzzChunked|FuzzRequest|FuzzResponse|FuzzDirectives|FuzzDecodeStored)$'

# one DURATION PACKAGE TARGET: fuzzes one target.
one() {
  local for=$1 package=$2 target=$3 out status=0 input
  # By default making one input of a large seed smaller takes a whole minute of the worker's time.
  out=$(go test -vet=off -run '^$' -fuzz "^$target\$" -fuzztime "$for" -fuzzminimizetime 1s -parallel 1 "$package" 2>&1) || status=$?
  input=$(sed -n 's/^ *Failing input written to //p' <<<"$out" | head -n 1)
  if [[ $status -eq 0 ]]; then
    printf 'fuzz: %s %s for %s:%s\n' "$package" "$target" "$for" "$(grep '^fuzz: elapsed' <<<"$out" | tail -n 1 | sed 's/.*execs/ execs/')"
    return
  fi
  # Before Go 1.27 the end of -fuzztime itself is now and then told as a failure (go.dev/issue/75804): nothing failed then.
  if [[ -z $input && $(grep -A 1 '^--- FAIL' <<<"$out" | tail -n 1) =~ ^\ *context\ deadline\ exceeded$ ]]; then
    printf 'fuzz: %s %s for %s: stopped\n' "$package" "$target" "$for"
    return
  fi
  {
    printf 'fuzz: %s %s failed:\n%s\n' "$package" "$target" "$out"
    if [[ -n $input ]]; then
      printf 'fuzz: the input, to be kept as %s/%s:\n' "$package" "$input"
      cat "$package/$input"
    fi
  } >&2
  return 1
}

# each: every target as "PACKAGE NAME".
each() {
  local file target
  while read -r file; do
    while read -r target; do
      printf '%s %s\n' "$(dirname "$file")" "$target"
    done < <(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(f \*testing\.F).*/\1/p' "$file")
  done < <(grep -rl --include='*_test.go' '^func Fuzz' . | sort)
}

# plan FOR OTHERS: the order of work. The longest come first, so that both workers end at about the same time.
plan() {
  each | grep -E "$subjects" | sed "s/^/$1 /"
  each | grep -vE "$subjects" | sed "s/^/$2 /"
}

if [[ ${1:-} == --one ]]; then
  one "$2" "$3" "$4"
  exit
fi
if [[ $# -lt 1 || $# -gt 2 ]]; then
  printf 'usage: scripts/fuzz.sh FOR [OTHERS]\n' >&2
  exit 2
fi
plan "$1" "${2:-$1}" | xargs -P 2 -L 1 "${BASH_SOURCE[0]}" --one
