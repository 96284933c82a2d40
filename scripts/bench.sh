#!/usr/bin/env bash
# Measures this program against the tools it competes with; prints ratios of interleaved medians.
#
#   scripts/bench.sh seed [ROUNDS] [ORGS]     cutover seed against one psql \copy of the same rows
#
# Needs a server on which databases may be created: CUTOVER_BENCH_DATABASE_URL
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
    for name in empty ours theirs; do
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

case ${1:-} in
    seed) shift; bench_seed "$@" ;;
    *) fail "usage: scripts/bench.sh seed [ROUNDS] [ORGS]" ;;
esac
