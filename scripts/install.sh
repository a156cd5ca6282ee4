#!/usr/bin/env bash
# Installs the programs that the demo, the tests and the benchmarks need and that this machine lacks:
#
#   scripts/install.sh GROUP...      groups: servers, browser, prometheus, caches, peers, compiler
#
# It works by apt-get, as root or through sudo. It asks nobody anything, and uses no network when nothing is missing.
#
# Debian starts a server when it installs its package. This script must not: the project runs private instances on
# ports of their own. Three things keep the machine as it was:
#   - /usr/sbin/policy-rc.d forbids starting and stopping services while packages are installed. One that is there
#     already is the administrator's, and stays as it is.
#   - PostgreSQL's package makes no cluster "main", if no PostgreSQL server was there before.
#   - Services that came with the new packages don't start at the next boot either.
# A server that was there before is not looked at, upgraded or restarted.
set -euo pipefail

readonly policy=/usr/sbin/policy-rc.d
readonly policy_mark='# by walpurge scripts/install.sh, for the time of an installation'
readonly cluster_conf=/etc/postgresql-common/createcluster.conf
readonly cluster_saved=$cluster_conf.walpurge-saved
readonly services=(postgresql redis-server prometheus nginx varnish varnishncsa haproxy trafficserver)

# A user's PATH lacks the directories that hold servers.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH DEBIAN_FRONTEND=noninteractive LC_ALL=C

fail() {
  printf 'install.sh: %s\n' "$1" >&2
  exit 1
}

# any PROGRAM...: one of the programs is there.
any() {
  local program
  for program; do
    if command -v "$program" >/dev/null; then return 0; fi
  done
  return 1
}

has_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || any initdb; }

# need PACKAGE PROGRAM...: the package is missing unless one of the programs is there.
missing=()
need() {
  local package=$1
  shift
  any "$@" || missing+=("$package")
}

find_missing() {
  local group
  for group; do
    case $group in
      servers)
        has_postgres || missing+=(postgresql)
        need redis-server redis-server valkey-server
        ;;
      browser)
        need chromium chromium chromium-browser google-chrome google-chrome-stable headless-shell headless_shell
        ;;
      prometheus)
        need prometheus prometheus
        need prometheus promtool
        ;;
      compiler)
        # The race detector links with C.
        need gcc gcc
        [[ -e /usr/include/stdlib.h ]] || missing+=(libc6-dev)
        need make make
        ;;
      caches)
        need nginx-light nginx
        need varnish varnishd
        need haproxy haproxy
        ;;
      peers)
        need nginx-light nginx
        need varnish varnishd
        need haproxy haproxy
        need trafficserver traffic_server
        need gunicorn gunicorn
        # Python's packages have no program: their directories tell.
        [[ -e /usr/lib/python3/dist-packages/django ]] || missing+=(python3-django)
        [[ -e /usr/lib/python3/dist-packages/django_redis ]] || missing+=(python3-django-redis)
        # psql and pg_recvlogical; the servers bring them too.
        compgen -G '/usr/lib/postgresql/*/bin/pg_recvlogical' >/dev/null || need postgresql-client pg_recvlogical
        ;;
      *)
        fail "no group $group: choose from servers, browser, prometheus, caches, peers, compiler"
        ;;
    esac
  done
}

has_service() { [[ -e /etc/init.d/$1 || -e /lib/systemd/system/$1.service || -e /etc/systemd/system/$1.service ]]; }

# restore undoes what holds for the time of an installation, that of an earlier and killed run included.
restore() {
  if [[ -e $cluster_saved ]]; then mv -f "$cluster_saved" "$cluster_conf"; fi
  if grep -qsxF "$policy_mark" "$policy"; then rm -f "$policy"; fi
}

forbid_services() {
  if [[ -e $policy ]]; then return; fi
  # 101: action forbidden by policy, see /usr/share/doc/init-system-helpers/README.policy-rc.d
  (
    umask 022
    printf '%s\n' '#!/bin/sh' "$policy_mark" 'exit 101' >"$policy"
    chmod 755 "$policy"
  )
}

apt_install() {
  # --no-remove: nothing that the user has goes away for what we want.
  apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends --no-remove "$@" </dev/null ||
    fail "apt-get could not install $* (its reason stands above): mend that and run the command again"
}

# no_main_cluster has createcluster.conf say that installing a server makes no cluster. The file belongs to
# postgresql-common, which comes first for that reason; it gets its own content back.
no_main_cluster() {
  [[ -e $cluster_conf ]] || apt_install postgresql-common
  cp -p "$cluster_conf" "$cluster_saved"
  {
    grep -v '^[[:space:]]*create_main_cluster' "$cluster_saved" || true
    echo 'create_main_cluster = false'
  } >"$cluster_conf"
}

install_missing() {
  local service before=()
  for service in "${services[@]}"; do
    if has_service "$service"; then before+=("$service"); fi
  done

  trap restore EXIT
  restore
  forbid_services

  # Without the network the lists of the last update may still do.
  apt-get -o DPkg::Lock::Timeout=300 update </dev/null ||
    echo 'install.sh: apt-get update failed, going on with the package lists that are there' >&2
  if [[ " ${missing[*]} " == *' postgresql '* ]]; then no_main_cluster; fi
  apt_install "${missing[@]}"

  for service in "${services[@]}"; do
    if [[ " ${before[*]} " != *" $service "* ]] && has_service "$service"; then
      if any systemctl; then
        systemctl --quiet disable "$service" 2>/dev/null || true
      elif any update-rc.d; then
        update-rc.d "$service" disable >/dev/null 2>&1 || true
      fi
    fi
  done
}

main() {
  if (($# == 0)); then fail 'name one or more of servers, browser, prometheus, caches, peers, compiler'; fi
  find_missing "$@"
  if ((${#missing[@]} == 0)); then return; fi
  any apt-get || fail "there is no apt-get here: install ${missing[*]}, or what they are called on this system, and run the command again"
  if ((EUID != 0)); then
    any sudo || fail "installing ${missing[*]} takes root and there is no sudo: run \`scripts/install.sh $*\` as root once"
    # Without a terminal nobody can type a password.
    local options=()
    [[ -t 0 ]] || options=(-n)
    sudo "${options[@]}" true || fail "installing ${missing[*]} takes root: run \`sudo scripts/install.sh $*\` once"
    exec sudo "${options[@]}" -- "$BASH" "${BASH_SOURCE[0]}" "$@"
  fi
  # Two at a time would restore what the other still needs.
  exec 9>/run/walpurge-install.lock
  flock 9
  missing=()
  find_missing "$@"
  if ((${#missing[@]} == 0)); then return; fi
  echo "install.sh: installing ${missing[*]}"
  install_missing
}

main "$@"
