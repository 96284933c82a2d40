#!/usr/bin/env bash
# Measures this program against the tools it competes with; prints ratios of medians of interleaved runs.
#
#   scripts/bench.sh seed [ROUNDS] [ORGS]           cutover seed against one psql \copy of the same rows
#   scripts/bench.sh diff [ROUNDS] [ORGS] [ROWS]    cutover diff against COPY, FULL OUTER JOIN and reladiff
#   scripts/bench.sh drive [ROUNDS] [SECONDS]       cutover drive --rate max against oha and Goose's own loop
#   scripts/bench.sh interval OTHER [ROUNDS]        how narrow the comparison of the modes is, against another build's
#   scripts/bench.sh build COMMIT [ROUNDS]          how long building takes, against another commit
#
# Builds the program, and starts a throw-away rig for the time it takes; CUTOVER_BENCH_DATABASE_URL
# (postgres://user@host:port/postgres) names another server, on which databases may be created.
# Nothing else should run on the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "bench: $*" >&2; exit 1; }

usage='usage: scripts/bench.sh seed [ROUNDS] [ORGS] | diff [ROUNDS] [ORGS] [ROWS] | drive [ROUNDS] [SECONDS] | interval OTHER [ROUNDS] | build COMMIT [ROUNDS]'
server=${CUTOVER_BENCH_DATABASE_URL:-}
cutover=${CARGO_TARGET_DIR:-target}/release/cutover
prefix=cutover_bench_$$
work=$(mktemp -d)
rig=
databases=()
as_of=2025-06-30

clean() {
    [[ -z ${server_pid:-} ]] || kill "$server_pid" 2>/dev/null || true
    trap '' INT TERM
    if [[ -n $rig ]]; then
        "$cutover" rig down -q --purge --dir "$rig" >/dev/null || true
    elif [[ -n $server ]]; then
        for name in "${databases[@]}"; do
            psql -X -q "$server" -c "DROP DATABASE IF EXISTS $name WITH (FORCE)" 2>/dev/null || true
        done
    fi
    rm -rf "$work"
}
trap clean EXIT
trap 'exit 130' INT TERM

# Builds, and sees to a server.
set_up() {
    cargo build -q --release --locked --bin cutover
    command -v psql >/dev/null || fail "psql is not installed"
    [[ -z $server ]] || return 0
    # PostgreSQL runs as another user where root starts it, and has to get at its folder.
    chmod 755 "$work"
    rig=$work/rig
    server=$("$cutover" rig up -q --detach --format json --without redis,platform --dir "$rig" |
        sed -n 's|.*"database_url": *"\([^"]*\)/[^"/]*".*|\1/postgres|p')
    [[ -n $server ]] || fail "the rig did not start"
}

# Runs SQL in a database of the bench.
sql() { local database=$1; shift; psql -X -q -v ON_ERROR_STOP=1 "${server%/*}/$database" "$@"; }
median() { sort -n | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }

# A new database from a template that holds what every run begins with.
fresh() {
    [[ " ${databases[*]-} " == *" $1 "* ]] || databases+=("$1")
    psql -X -q "$server" -c "SET client_min_messages = warning" \
        -c "DROP DATABASE IF EXISTS $1 WITH (FORCE)" -c "CREATE DATABASE $1 TEMPLATE ${2:-template1}" -c CHECKPOINT
}

# Runs a command; adds its seconds, and the seconds of CPU of this side of the connection, to a file.
timed() {
    local log=$1; shift
    local TIMEFORMAT='%R %U %S'
    { time "$@" >"$work/out" 2>"$work/err"; } 2>"$work/time" || fail "$(cat "$work/err")"
    awk '{ print $1, $2 + $3 }' "$work/time" >>"$work/$log"
}

# Median of a column of a file that `timed` wrote.
middle() { awk -v column="$2" '{ print $column }' "$work/$1" | median; }

# --- seed --------------------------------------------------------------------------------------------

pairs="organizations: revenue_transactions:revenue_transactions_partitioned
expense_transactions:expense_transactions_partitioned daily_cash_balances:daily_cash_balances_partitioned"

empty_schema() {
    fresh "${prefix}_empty"
    cat crates/platform/src/migrations/*.sql | sql "${prefix}_empty"
    sql "${prefix}_empty" -c "SELECT ensure_month_partitions(
        ('$as_of'::date - interval '24 months')::date, ('$as_of'::date + interval '3 months')::date)" >/dev/null
}

# One seed, from its first connection to the last index, visibility map and statistic.
ours() {
    fresh "${prefix}_ours" "${prefix}_empty"
    timed ours "$cutover" seed -q --database-url "${server%/*}/${prefix}_ours" --orgs "$1" --as-of "$as_of"
}

# The rows of the last seed as files, in the order that suits the other side's indexes best, and the
# script that copies them.
ready_made() {
    local pair
    for pair in $pairs; do
        local legacy=${pair%:*} twin=${pair#*:}
        sql "${prefix}_ours" -c "\\copy (SELECT * FROM $legacy ORDER BY 1) TO '$work/$legacy' (FORMAT binary)"
        echo "\\copy $legacy FROM '$work/$legacy' (FORMAT binary)"
        [[ -z $twin ]] || echo "\\copy $twin FROM '$work/$legacy' (FORMAT binary)"
    done >"$work/copy.sql"
}

# One psql that copies the files into the same tables with the same indexes; then what our figure
# includes beyond that, by itself. The triggers are off, or every row would arrive twice.
theirs() {
    fresh "${prefix}_theirs" "${prefix}_empty"
    local pair
    for pair in $pairs; do
        sql "${prefix}_theirs" -c "ALTER TABLE ${pair%:*} DISABLE TRIGGER USER"
    done
    timed copy sql "${prefix}_theirs" -f "$work/copy.sql"
    timed settle sql "${prefix}_theirs" -c "VACUUM ANALYZE"
    paste -d ' ' "$work/copy" "$work/settle" | awk '{ print $1 + $3, $2 + $4 }' >"$work/settled"
}

bench_seed() {
    local rounds=${1:-5} orgs=${2:-100000} rows round
    set_up
    empty_schema
    ours "$orgs"
    ready_made
    rows=$(sql "${prefix}_ours" -At -c "SELECT (SELECT count(*) FROM organizations) + 2 * (
        (SELECT count(*) FROM revenue_transactions) + (SELECT count(*) FROM expense_transactions)
        + (SELECT count(*) FROM daily_cash_balances))")
    rm "$work/ours"
    echo "$orgs orgs, $rows rows, $rounds rounds, interleaved"
    for ((round = 1; round <= rounds; round++)); do
        ours "$orgs"
        theirs
        echo "round $round: cutover seed $(tail -n 1 "$work/ours" | cut -d ' ' -f 1) s," \
            "psql \\copy $(tail -n 1 "$work/copy" | cut -d ' ' -f 1) s," \
            "with VACUUM ANALYZE $(tail -n 1 "$work/settled" | cut -d ' ' -f 1) s"
    done
    echo "medians:"
    local variant
    for variant in "ours:cutover seed (with VACUUM, ANALYZE)" "copy:psql \\copy" "settled:psql \\copy, then VACUUM ANALYZE"; do
        local file=${variant%%:*}
        awk -v name="${variant#*:}" -v rows="$rows" -v s="$(middle "$file" 1)" -v cpu="$(middle "$file" 2)" \
            -v ours="$(middle ours 1)" 'BEGIN {
            printf "  %-36s %7.2f s %9.0f rows/s, client CPU %5.2f s", name, s, rows / s, cpu
            printf s == ours ? "\n" : ", ratio %.2f\n", s / ours }'
    done
}

# --- diff --------------------------------------------------------------------------------------------

# One filled table pair of the reference schema; the triggers carry the rows to the twin.
filled_pair() {
    local database=$1 orgs=$2 rows=$3
    fresh "$database"
    cat crates/platform/src/migrations/*.sql | sql "$database"
    sql "$database" >/dev/null <<SQL
SELECT ensure_month_partitions((current_date - 730)::date, (current_date + 70)::date);
INSERT INTO revenue_transactions
SELECT i, abs(hashint8(i)::bigint) % $orgs + 1, 1 + i % 3, current_date - (abs(hashint8(i + 7)::bigint) % 720)::int,
       (abs(hashint8(i)::bigint) % 1000000) / 100.0, 0.18, (ARRAY['room', 'food', 'events', 'other'])[1 + i % 4],
       'card', 'guest ' || md5(i::text), 'night ' || i, 'recorded', NULL,
       timestamptz '2026-01-01' + i * interval '1 second', timestamptz '2026-01-02' + i * interval '1 second'
  FROM generate_series(1::bigint, $rows) AS i;
SELECT setval(pg_get_serial_sequence('revenue_transactions', 'id'), $rows);
VACUUM ANALYZE revenue_transactions;
VACUUM ANALYZE revenue_transactions_partitioned;
CHECKPOINT;
SQL
}

# The least that reading both sides can cost: two backends that throw the rows away.
copy_both() {
    sql "$1" -c "COPY revenue_transactions TO '/dev/null' (FORMAT binary)" &
    sql "$1" -c "COPY (SELECT * FROM revenue_transactions_partitioned) TO '/dev/null' (FORMAT binary)" &
    wait
}
# What the bytes cost that leave the server: fetched, and thrown away here.
carry_both() {
    sql "$1" -c "COPY revenue_transactions TO STDOUT (FORMAT binary)" >/dev/null &
    sql "$1" -c "COPY (SELECT * FROM revenue_transactions_partitioned) TO STDOUT (FORMAT binary)" >/dev/null &
    wait
}
join_both() {
    sql "$1" -c "SELECT count(*) FROM revenue_transactions l FULL OUTER JOIN revenue_transactions_partitioned p
        USING (id) WHERE l IS DISTINCT FROM p"
}
# It knows databases by another name, and says nothing where nothing differs.
reladiff_both() {
    local database="postgresql:${server#*:}"
    "$work/venv/bin/reladiff" --algorithm joindiff -k id -c % "${database%/*}/$1" revenue_transactions \
        revenue_transactions_partitioned
}
# Differences are no failure of the bench.
our_diff() {
    rm -rf "$work/diff"
    "$cutover" diff -q --table revenue --database-url "${server%/*}/$1" --out "$work/diff" || [[ $? -eq 11 ]]
}
# Megabytes of memory that our process held at most.
our_memory() {
    python3 - "$cutover" "${server%/*}/$1" "$work/memory" <<'PYTHON'
import resource, subprocess, sys
subprocess.run([sys.argv[1], "diff", "-q", "--table", "revenue", "--database-url", sys.argv[2], "--out", sys.argv[3]],
               stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
PYTHON
}

bench_diff() {
    local rounds=${1:-5} orgs=${2:-1000000} rows=${3:-5000000} round way
    local whole=${prefix}_diff quarter=${prefix}_quarter ways="copy ours carry join quarter"
    set_up
    filled_pair "$whole" "$orgs" "$rows"
    filled_pair "$quarter" "$orgs" $((rows / 4))
    if python3 -m venv "$work/venv" >/dev/null 2>&1 &&
        "$work/venv/bin/pip" install -q 'reladiff[postgresql]==0.6.*' >/dev/null 2>&1; then
        ways+=" reladiff"
    else
        echo "reladiff cannot be installed here and is left out"
    fi
    echo "$rows + $rows rows, $orgs orgs, $rounds rounds, interleaved"
    for ((round = 1; round <= rounds; round++)); do
        for way in $ways; do
            case $way in
                copy) timed copy copy_both "$whole" ;;
                ours) timed ours our_diff "$whole" ;;
                carry) timed carry carry_both "$whole" ;;
                join) timed join join_both "$whole" ;;
                quarter) timed quarter our_diff "$quarter" ;;
                # Minutes, in which nothing varies: once is enough.
                reladiff) ((round > 1)) || timed reladiff reladiff_both "$whole" ;;
            esac
        done
        echo "round $round:$(for way in $ways; do echo -n " $way $(tail -n 1 "$work/$way" | cut -d ' ' -f 1) s"; done)"
    done
    local memory; memory=$(our_memory "$whole")
    sql "$whole" -c "UPDATE revenue_transactions_partitioned SET amount = amount + 1
        WHERE id IN (SELECT min(id) FROM revenue_transactions WHERE org_id % 100 = 0 GROUP BY org_id)" -c VACUUM
    for ((round = 1; round <= rounds; round++)); do timed diverging our_diff "$whole"; done
    echo "medians: cutover diff $(middle ours 1) s, client CPU $(middle ours 2) s, $memory MB"
    for way in $ways diverging; do
        awk -v way="$way" -v s="$(middle "$way" 1)" -v ours="$(middle ours 1)" 'BEGIN {
            said["carry"] = "psql fetching both sides"
            said["copy"] = "COPY of both sides to /dev/null"; said["join"] = "FULL OUTER JOIN"
            said["reladiff"] = "reladiff, join mode, all columns"; said["quarter"] = "ours, a quarter of the rows"
            said["diverging"] = "ours, 1 % of the orgs diverging"
            if (way != "ours") printf "  %-34s %6.2f s, ours takes %.2f times as long\n", said[way], s, ours / s }'
    done
}

# --- drive -------------------------------------------------------------------------------------------

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
    taskset -c 0 "${CARGO_TARGET_DIR:-target}/release/examples/bench_server" >"$work/url" &
    server_pid=$!
    until [[ -s $work/url ]]; do sleep 0.05; done
    url=$(<"$work/url")
    echo "50 connections, $seconds s, $rounds rounds, interleaved; server on one core, generator on the other"
    for ((round = 1; round <= rounds; round++)); do
        for tool in $tools; do
            case $tool in
                goose) set -- "${CARGO_TARGET_DIR:-target}/release/examples/bench_goose" "$url" 50 "$seconds" ;;
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

# --- interval ----------------------------------------------------------------------------------------

# Standard error of the mean, or middle, log ratio of a run: its own word, or from the pairs' p95s.
standard_error() {
    python3 - "$1" <<'PYTHON'
import json, math, statistics, sys
drive = json.load(open(sys.argv[1]))["drive"]
error = drive["comparison"].get("standard_error")
if error is None:
    pairs = {}
    for window in drive["windows"]:
        pairs.setdefault(window["pair"], {})[window["candidate"]] = window["all"]["p95_us"]
    logs = [math.log(p[True] / p[False]) for p in pairs.values() if p.get(True) and p.get(False)]
    error = statistics.stdev(logs) / math.sqrt(len(logs))
print(f"{error:.4f}")
PYTHON
}

# OTHER is the program of another build. Both drive a minute and a half, each on a rig of its own.
bench_interval() {
    local other=${1:?$usage} rounds=${2:-3} round way whole
    cargo build -q --release --locked --bin cutover
    for ((round = 1; round <= rounds; round++)); do
        for way in other ours; do
            local program=$cutover
            [[ $way = ours ]] || program=$other
            whole=(--looks 1)
            "$program" rehearse --help | grep -q -e '--looks' || whole=(--extensions 0)
            rm -rf "$work/run"
            "$program" rehearse -q --profile quick --duration 90s "${whole[@]}" --out "$work/run" >/dev/null 2>&1 || true
            standard_error "$work/run/run.json" | tee -a "$work/$way" | sed "s/^/round $round: $way /"
        done
    done
    awk -v ours="$(median <"$work/ours")" -v other="$(median <"$work/other")" 'BEGIN {
        printf "medians: ours %.4f, other %.4f, ratio %.2f\n", ours, other, ours / other }'
}

case ${1:-} in
    seed) shift; bench_seed "$@" ;;
    diff) shift; bench_diff "$@" ;;
    drive) shift; bench_drive "$@" ;;
    interval) shift; bench_interval "$@" ;;
    build) shift; trap - EXIT; rm -rf "$work"; exec scripts/bench_build.sh "$@" ;;
    *) fail "$usage" ;;
esac
