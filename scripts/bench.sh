#!/usr/bin/env bash
# Measures this program against the tools it competes with; prints ratios of interleaved medians.
#
#   scripts/bench.sh seed [ROUNDS] [ORGS]           cutover seed against one psql \copy of the same rows
#   scripts/bench.sh diff [ROUNDS] [ORGS] [ROWS]    cutover diff against COPY, FULL OUTER JOIN and reladiff
#
# Needs a server on which databases may be created: CUTOVER_BENCH_DATABASE_URL
# (postgres://user@host:port/postgres); `diff` starts one of its own where it is not given. Nothing
# else should run on the machine.
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
    for name in empty ours theirs diff diff_quarter; do
        psql -X -q "$server" -c "DROP DATABASE IF EXISTS ${prefix}_$name WITH (FORCE)" 2>/dev/null || true
    done
    [[ ! -d $work/rig ]] || "$cutover" rig down --dir "$work/rig" >/dev/null 2>&1 || true
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

# One filled table pair of the reference schema; the triggers carry the rows to the twin.
filled_pair() {
    local database=${prefix}_$1 orgs=$2 rows=$3
    psql -X -q "$server" -c "CREATE DATABASE $database"
    cat src/platform/migrations/*.sql | sql "$database"
    sql "$database" >/dev/null <<SQL
SELECT ensure_month_partitions((current_date - 730)::date, (current_date + 70)::date);
INSERT INTO revenue_transactions
SELECT i, abs(hashint8(i)::bigint) % $orgs + 1, 1 + i % 3, current_date - (abs(hashint8(i + 7)::bigint) % 720)::int,
       (abs(hashint8(i)::bigint) % 1000000) / 100.0, 0.18, (ARRAY['room', 'food', 'events', 'other'])[1 + i % 4],
       'card', 'guest ' || md5(i::text), 'night ' || i, 'recorded', NULL,
       timestamptz '2026-01-01' + i * interval '1 second', timestamptz '2026-01-02' + i * interval '1 second'
  FROM generate_series(1::bigint, $rows) AS i;
VACUUM ANALYZE revenue_transactions;
VACUUM ANALYZE revenue_transactions_partitioned;
CHECKPOINT;
SQL
}

# Milliseconds of a command, whatever its exit code.
timed() { local began; began=$(now_ms); "$@" >/dev/null 2>&1 || true; echo $(($(now_ms) - began)); }

# The least that reading both sides can cost: two backends that throw the rows away.
copy_both() {
    sql "$1" -c "COPY revenue_transactions TO '/dev/null' (FORMAT binary)" &
    sql "$1" -c "COPY (SELECT * FROM revenue_transactions_partitioned) TO '/dev/null' (FORMAT binary)" &
    wait
}
our_diff() {
    local database=$1; shift
    "$cutover" diff -q --table revenue --database-url "${server%/*}/$database" --out "$work/diff" "$@"
}
join_both() {
    sql "$1" -c "SELECT count(*) FROM revenue_transactions l FULL OUTER JOIN revenue_transactions_partitioned p
        USING (id) WHERE l IS DISTINCT FROM p"
}
reladiff_both() {
    "$work/reladiff/bin/reladiff" --algorithm joindiff -k id -c % "${server%/*}/$1" revenue_transactions \
        revenue_transactions_partitioned
}

bench_diff() {
    local rounds=${1:-5} orgs=${2:-1000000} rows=${3:-5000000}
    [[ -x $cutover ]] || fail "$cutover is not built: cargo build --release"
    if [[ -z $server ]]; then
        server=$("$cutover" rig up --detach --dir "$work/rig" --without platform,redis 2>/dev/null \
            | sed 's/.*"database_url":"\([^"]*\)".*/\1/')
        [[ $server == postgres* ]] || fail "the rig did not start"
    fi
    filled_pair diff "$orgs" "$rows"
    filled_pair diff_quarter "$orgs" $((rows / 4))
    local database=${prefix}_diff ways="copy ours join"
    if python3 -m venv "$work/reladiff" >/dev/null 2>&1 &&
        "$work/reladiff/bin/pip" install -q 'reladiff[postgresql]==0.6.*' >/dev/null 2>&1; then
        ways+=" reladiff"
    else
        echo "reladiff cannot be installed here and is left out"
    fi
    echo "$rows + $rows rows, $orgs orgs, $rounds rounds, interleaved"
    for ((round = 1; round <= rounds; round++)); do
        for way in $ways quarter; do
            case $way in
                copy) timed copy_both "$database" ;;
                ours) timed our_diff "$database" ;;
                join) timed join_both "$database" ;;
                reladiff) timed reladiff_both "$database" ;;
                quarter) timed our_diff "${prefix}_diff_quarter" ;;
            esac >>"$work/ms_$way"
        done
        echo "round $round: $(for way in $ways quarter; do echo -n "$way $(tail -1 "$work/ms_$way") ms  "; done)"
    done
    local memory
    memory=$(/usr/bin/env python3 - "$cutover" "${server%/*}/$database" "$work/diff" <<'PYTHON'
import resource, subprocess, sys
subprocess.run([sys.argv[1], "diff", "-q", "--table", "revenue", "--database-url", sys.argv[2], "--out", sys.argv[3]],
               stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
PYTHON
    )
    sql "$database" -c "UPDATE revenue_transactions_partitioned SET amount = amount + 1
        WHERE id IN (SELECT min(id) FROM revenue_transactions WHERE org_id % 100 = 0 GROUP BY org_id)" -c "VACUUM"
    for ((round = 1; round <= rounds; round++)); do timed our_diff "$database"; done >>"$work/ms_diverging"
    local ours
    ours=$(median <"$work/ms_ours")
    echo "medians: cutover diff $ours ms, $memory MB"
    for way in $ways quarter diverging; do
        awk -v way="$way" -v t="$(median <"$work/ms_$way")" -v ours="$ours" 'BEGIN {
            said["copy"] = "COPY of both sides to /dev/null"; said["join"] = "FULL OUTER JOIN"
            said["reladiff"] = "reladiff, join mode, all columns"; said["quarter"] = "ours, a quarter of the rows"
            said["diverging"] = "ours, 1 % of the orgs diverging"
            if (way != "ours") printf "  %-34s %6.0f ms, ours takes %.2f times as long\n", said[way], t, ours / t }'
    done
}

case ${1:-} in
    seed) shift; bench_seed "$@" ;;
    diff) shift; bench_diff "$@" ;;
    *) fail "usage: scripts/bench.sh seed [ROUNDS] [ORGS] | diff [ROUNDS] [ORGS] [ROWS]" ;;
esac
