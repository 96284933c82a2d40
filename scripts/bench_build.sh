#!/usr/bin/env bash
# How long building takes, against another commit; `scripts/bench.sh build COMMIT [ROUNDS]` calls it.
#
# Both commits are checked out in a temporary folder, with build folders of their own: a clean build, the program
# again after one changed line of the diff, and the gate's own tests after one changed line of the gate.
# Nothing else should run on the machine.
set -euo pipefail
cd "$(dirname "$0")/.."

other=${1:?usage: scripts/bench.sh build COMMIT [ROUNDS]}
rounds=${2:-2}
work=$(mktemp -d)
repository=$PWD
clean() { rm -rf "$work"; git -C "$repository" worktree prune; }
trap clean EXIT
trap 'exit 130' INT TERM

for side in here there; do
    [[ $side = here ]] && commit=HEAD || commit=$other
    git worktree add -q --detach "$work/$side" "$commit"
done

# Where a commit has its diff and gate, and how the gate's tests are run.
diff_file() { ls "$1"/crates/diff/src/outcome.rs "$1"/src/diff/outcome.rs 2>/dev/null; }
gate_file() { ls "$1"/crates/verdict/src/gate/steps.rs "$1"/src/gate/steps.rs 2>/dev/null; }
gate_tests() {
    if [[ -d $1/crates/verdict ]]; then
        set -- --release --package cutover-verdict --lib gate::
    else
        set -- --release --lib gate::
    fi
    cargo test --quiet --locked "$@"
}
program() { cargo build --quiet --locked --release --bin cutover; }
# Changes one literal of a file, to something that it has not been before.
change() { sed -i "0,/please report\|Mend /s//& $RANDOM/" "$1"; }

# Seconds that a command takes in a commit's folder, appended to that commit's figures.
timed() {
    local side=$1 what=$2 begin end; shift 2
    begin=$(date +%s.%N)
    (cd "$work/$side" && CARGO_TARGET_DIR="$work/$side.target" "$@" >"$work/log" 2>&1) || { cat "$work/log" >&2; exit 1; }
    end=$(date +%s.%N)
    awk -v a="$begin" -v b="$end" 'BEGIN { printf "%.1f\n", b - a }' | tee -a "$work/$side.$what"
}

for ((round = 1; round <= rounds; round++)); do
    for side in there here; do
        rm -rf "$work/$side.target"
        echo "round $round, $side: clean build $(timed "$side" clean program) s"
        change "$(diff_file "$work/$side")"
        echo "round $round, $side: one line of the diff, the program again $(timed "$side" diff program) s"
        (cd "$work/$side" && CARGO_TARGET_DIR="$work/$side.target" gate_tests "$work/$side" >/dev/null 2>&1)
        change "$(gate_file "$work/$side")"
        echo "round $round, $side: one line of the gate, its tests again $(timed "$side" gate gate_tests "$work/$side") s"
        stat -c %s "$work/$side.target/release/cutover" >"$work/$side.size"
    done
done

middle() { sort -n "$1" | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }
for what in clean diff gate size; do
    awk -v what="$what" -v here="$(middle "$work/here.$what")" -v there="$(middle "$work/there.$what")" 'BEGIN {
        said["clean"] = "clean build, s"; said["diff"] = "one line of the diff, s"
        said["gate"] = "one line of the gate, its tests, s"; said["size"] = "program, bytes"
        printf "%-36s %12s against %12s: %.2fx\n", said[what], here, there, here / there }'
done
