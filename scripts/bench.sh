#!/usr/bin/env bash
# Measures this program against the tools it competes with; prints ratios of interleaved medians.
#
#   scripts/bench.sh seed [ROUNDS] [ORGS]     cutover seed against one psql \copy of the same rows
#   scripts/bench.sh drive [ROUNDS] [SECONDS] cutover drive --rate max against oha and Goose's own loop
#
# `seed` needs a server on which databases may be created: CUTOVER_BENCH_DATABASE_URL
# (postgres://user@host:port/postgres). Nothing else should run on the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "bench: $*" >&2; exit 1; }

server=${CUTOVER_BENCH_DATABASE_URL:-}
target_dir=${CARGO_TARGET_DIR:-target}
cutover=$target_dir/release/cutover
prefix=cutover_bench_$$
work=$(mktemp -d)
as_of=2025-06-30

# Runs SQL in a database of the bench.
sql() { local database=$1; shift; psql -X -q -v ON_ERROR_STOP=1 "${server%/*}/$database" "$@"; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }
median() { sort -n | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }

clean() {
    [[ -z ${server_pid:-} ]] || kill "$server_pid" 2>/dev/null || true
    [[ -z $server ]] || for name in empty ours theirs; do
        psql -X -q "$server" -c "DROP DATABASE IF EXISTS ${prefix}_$name WITH (FORCE)" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

# A fresh copy of the empty schema.
fresh() {
    psql -X -q "$server" -c "SET client_min_messages = warning" \
        -c "DROP DATABASE IF EXISTS ${prefix}_$1 WITH (FORCE)" \
        -c "CREATE DATABASE ${prefix}_$1 TEMPLATE ${prefix}_empty" -c CHECKPOINT
}

empty_schema() {
    psql -X -q "$server" -c "CREATE DATABASE ${prefix}_empty"
    cat src/platform/migrations/*.sql | sql "${prefix}_empty"
    sql "${prefix}_empty" -c "SELECT ensure_month_partitions(
        ('$as_of'::date - interval '24 months')::date, ('$as_of'::date + interval '3 months')::date)" >/dev/null
}

pairs="organizations: revenue_transactions:revenue_transactions_partitioned
expense_transactions:expense_transactions_partitioned daily_cash_balances:daily_cash_balances_partitioned"

# Milliseconds of one seed, from its first connection to the last index and statistic.
ours() {
    fresh ours
    local began; began=$(now_ms)
    "$cutover" seed -q --database-url "${server%/*}/${prefix}_ours" --orgs "$orgs" --as-of "$as_of" >"$work/manifest.txt"
    echo $(($(now_ms) - began))
}

# The rows of the last seed as files, in the order that suits the other side's indexes best.
ready_made() {
    for pair in $pairs; do
        sql "${prefix}_ours" -c "\\copy (SELECT * FROM ${pair%:*} ORDER BY 1) TO '$work/${pair%:*}' (FORMAT binary)"
    done
}

# Milliseconds of one psql that copies the files into the same tables with the same indexes, and of
# that with the VACUUM and ANALYZE that our figure includes. The triggers are off, or every row would
# arrive twice.
theirs() {
    fresh theirs
    local script=$work/copy.sql
    : >"$script"
    for pair in $pairs; do
        local legacy=${pair%:*} twin=${pair#*:}
        echo "\\copy $legacy FROM '$work/$legacy' (FORMAT binary)" >>"$script"
        [[ -z $twin ]] && continue
        sql "${prefix}_theirs" -c "ALTER TABLE $legacy DISABLE TRIGGER USER"
        echo "\\copy $twin FROM '$work/$legacy' (FORMAT binary)" >>"$script"
    done
    local began; began=$(now_ms)
    sql "${prefix}_theirs" -f "$script"
    local copied; copied=$(($(now_ms) - began))
    sql "${prefix}_theirs" -c "VACUUM ANALYZE"
    echo $copied $(($(now_ms) - began))
}

bench_seed() {
    local rounds=${1:-5}
    orgs=${2:-300000}
    [[ -n $server ]] || fail "CUTOVER_BENCH_DATABASE_URL is not set"
    [[ -x $cutover ]] || fail "$cutover is not built: cargo build --release"
    empty_schema
    ours >/dev/null
    ready_made
    local rows
    rows=$(sql "${prefix}_ours" -At -c "SELECT (SELECT count(*) FROM organizations) + 2 * (
        (SELECT count(*) FROM revenue_transactions) + (SELECT count(*) FROM expense_transactions)
        + (SELECT count(*) FROM daily_cash_balances))")
    echo "$orgs orgs, $rows rows, $rounds rounds, interleaved"
    for ((round = 1; round <= rounds; round++)); do
        local a b c
        a=$(ours)
        read -r b c < <(theirs)
        echo "$a" >>"$work/ours" && echo "$b" >>"$work/copy" && echo "$c" >>"$work/settled"
        echo "round $round: cutover seed $a ms, psql \\copy $b ms, with VACUUM ANALYZE $c ms"
    done
    local a b c
    a=$(median <"$work/ours") b=$(median <"$work/copy") c=$(median <"$work/settled")
    awk -v a="$a" -v b="$b" -v c="$c" -v rows="$rows" 'BEGIN {
        printf "medians: cutover seed %.0f rows/s, VACUUM and ANALYZE included\n", rows / a * 1000
        printf "  psql \\copy                      %.0f rows/s, ratio %.2f\n", rows / b * 1000, b / a
        printf "  psql \\copy, VACUUM and ANALYZE  %.0f rows/s, ratio %.2f\n", rows / c * 1000, c / a }'
}

# One round of a generator on the second core: requests a second and processor µs per request.
# The generator prints its number of requests; the trivial server has the first core to itself.
generator_round() {
    local name=$1; shift
    local requests times TIMEFORMAT='%U %S'
    times=$( { time taskset -c 1 "$@" >"$work/$name.requests" 2>"$work/$name.stderr"; } 2>&1) ||
        { cat "$work/$name.stderr" >&2; fail "$name failed"; }
    requests=$(tail -n 1 "$work/$name.requests")
    awk -v n="$requests" -v s="$seconds" -v t="$times" 'BEGIN {
        split(t, cpu, " "); printf "%.0f %.2f\n", n / s, (cpu[1] + cpu[2]) * 1e6 / n }' | tee -a "$work/$name.rounds"
}

drive_ours() {
    rm -rf "$work/run"
    "$cutover" drive -q --format json --base-url "$1" --config "$work/cutover.toml" --scenario "$work/get.toml" \
        --rate max --connections 50 --duration "${seconds}s" --pairs 1 --orgs 1000 --out "$work/run" |
        grep -o '"arrivals_planned":[0-9]*' | head -n 1 | cut -d: -f2
}

drive_oha() {
    oha -z "${seconds}s" -c 50 --no-tui --output-format json "$1/?org=1" >"$work/oha.json" ||
        oha -z "${seconds}s" -c 50 --no-tui -j "$1/?org=1" >"$work/oha.json"
    tr -d '\n' <"$work/oha.json" | sed -n 's/.*"statusCodeDistribution": *{ *"200": *\([0-9]*\).*/\1/p'
}

bench_drive() {
    local rounds=${1:-5} url tool
    seconds=${2:-6}
    command -v taskset >/dev/null || fail "taskset is missing (util-linux)"
    cargo build --release --locked --features bench --bin cutover --examples
    printf '[routing]\nkind = "none"\n' >"$work/cutover.toml"
    printf 'name = "get"\n[[operation]]\nname = "get"\nweight = 1\npath = "/?org={{org}}"\n' >"$work/get.toml"
    local tools="ours goose" cache=${XDG_CACHE_HOME:-$HOME/.cache}/cutover/oha
    PATH=$PATH:$cache/bin
    if command -v oha >/dev/null || cargo install oha --quiet --locked --root "$cache"; then
        tools="ours oha goose"
    else
        echo "bench: oha cannot be installed; compared without it"
    fi
    export -f drive_ours drive_oha
    export cutover work seconds
    taskset -c 0 "$target_dir/release/examples/bench_server" >"$work/url" &
    server_pid=$!
    until [[ -s $work/url ]]; do sleep 0.05; done
    url=$(<"$work/url")
    echo "50 connections, $seconds s, $rounds rounds, interleaved; server on one core, generator on the other"
    for ((round = 1; round <= rounds; round++)); do
        for tool in $tools; do
            case $tool in
                goose) set -- "$target_dir/release/examples/bench_goose" "$url" 50 "$seconds" ;;
                *) set -- bash -c "drive_$tool $url" ;;
            esac
            echo "round $round: $tool $(generator_round "$tool" "$@") req/s, µs of processor per request"
        done
    done
    kill "$server_pid"
    local ours; ours=$(cut -d' ' -f1 "$work/ours.rounds" | median)
    for tool in $tools; do
        awk -v tool="$tool" -v ours="$ours" -v rate="$(cut -d' ' -f1 "$work/$tool.rounds" | median)" \
            -v cpu="$(cut -d' ' -f2 "$work/$tool.rounds" | median)" 'BEGIN {
            printf "%-6s %8.0f req/s, %5.2f µs of processor per request; cutover drive is %.2fx\n", tool, rate, cpu, ours / rate }'
    done
}

case ${1:-} in
    seed) shift; bench_seed "$@" ;;
    drive) shift; bench_drive "$@" ;;
    *) fail "usage: scripts/bench.sh seed [ROUNDS] [ORGS] | drive [ROUNDS] [SECONDS]" ;;
esac
