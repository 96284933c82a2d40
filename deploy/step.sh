#!/usr/bin/env bash
# One shard of a step, or the verdict, on whatever starts it: an array job of Slurm, an indexed Job of Kubernetes.
#     step.sh SETTINGS seed|before|drive|after|verdict
# SETTINGS is a file of shell assignments: slurm/cluster.env.example names them all. Results go to RUN_DIR/STEP/SHARD,
# and RUN_DIR/STEP/SHARD.ended holds the exit code once there is one that will stay.
set -euo pipefail
settings="$1" step="$2"
set -a
# shellcheck source=/dev/null
source "$settings"
set +a
export NO_COLOR=1
shard="${SLURM_ARRAY_TASK_ID:-$((${JOB_COMPLETION_INDEX:-0} + 1))}"
out="$RUN_DIR/$step/$shard"
part=(--shard "$shard/$SHARDS" --out "$out" --rng-seed "${RNG_SEED:-42}")
mkdir -p "$RUN_DIR/$step"

say() { printf '%s %s: %s\n' "$step" "$shard" "$*"; }

# Notes how the shard ended, whole or not at all.
ended() {
  printf '%s\n' "$1" >"$out.ending"
  mv "$out.ending" "$out.ended"
}

# Runs the program, hands signals on to it, and notes how it ended.
run() {
  local code
  "$CUTOVER" "$@" &
  local program=$!
  trap 'kill -TERM "$program" 2>/dev/null || true' TERM INT
  while true; do
    code=0
    wait "$program" || code=$?
    # A signal ends `wait` before the program has ended.
    kill -0 "$program" 2>/dev/null || break
  done
  # What could not run may be tried again; a load may not.
  if [ "$code" -ne 1 ] || [ "$step" = drive ]; then ended "$code"; fi
  exit "$code"
}

# Waits until every shard of the step before has ended, where nobody else keeps the order: WAIT_FOR names that step.
# NEED_GOOD=1: each of them well, or there is no point in going on. Otherwise what is lost is waited for in vain, and
# the verdict says so.
wait_for_step_before() {
  local limit=$((SECONDS + ${WAIT_LIMIT_S:-7200})) index code
  for index in $(seq "$SHARDS"); do
    until [ -e "$RUN_DIR/$WAIT_FOR/$index.ended" ]; do
      if [ "$SECONDS" -ge "$limit" ]; then
        say "shard $index of $WAIT_FOR has not ended in time"
        break
      fi
      sleep 1
    done
    code="$(cat "$RUN_DIR/$WAIT_FOR/$index.ended" 2>/dev/null || true)"
    if [ -n "${NEED_GOOD:-}" ] && [ "$code" != 0 ]; then
      say "not begun: shard $index of $WAIT_FOR ended with ${code:-nothing}"
      ended 1
      exit 1
    fi
  done
}

# The first shard to come up decides for all: a link appears whole, once.
start_at() {
  local mine="$RUN_DIR/start-at.$shard"
  date -u -d "@$(($(date +%s) + ${START_IN:-60}))" +%Y-%m-%dT%H:%M:%SZ >"$mine"
  ln "$mine" "$RUN_DIR/start-at" 2>/dev/null || true
  rm -f "$mine"
  cat "$RUN_DIR/start-at"
}

verdict() {
  shopt -s nullglob
  rm -rf "$RUN_DIR/merged"
  local record driven='' before=() runs=() config=()
  # What was killed has left a record that says so, and nothing to put together.
  for record in "$RUN_DIR"/{before,drive,after}/*/run.json; do
    grep -q '^  "ended": true' "$record" || continue
    case "$record" in
      "$RUN_DIR"/before/*) before+=("${record%/run.json}") ;;
      "$RUN_DIR"/drive/*) driven=1 runs+=("${record%/run.json}") ;;
      *) runs+=("${record%/run.json}") ;;
    esac
  done
  # Without a load there is no before and after: the last comparison tells.
  if [ -n "$driven" ] || [ "${#runs[@]}" -eq 0 ]; then runs+=("${before[@]}"); fi
  [ "${#runs[@]}" -gt 0 ] || { say 'INVALID: no shard has left a record'; exit 30; }
  [ -z "${CONFIG:-}" ] || config=(--config "$CONFIG")
  # Its exit code is that of what is there; what is missing, only the gate holds against it.
  "$CUTOVER" merge "${runs[@]}" --out "$RUN_DIR/merged" "${config[@]}" ||
    [ -e "$RUN_DIR/merged/run.json" ] || exit 30
  # shellcheck disable=SC2086
  run gate "$RUN_DIR/merged" ${GATE_OPTIONS:-}
}

[ -z "${WAIT_FOR:-}" ] || wait_for_step_before
# The options of a step are several words each.
# shellcheck disable=SC2086
case "$step" in
  seed)
    again=()
    # One that was lost goes on where it was.
    [ ! -e "$out.begun" ] || again=(--resume)
    touch "$out.begun"
    run seed --orgs "$SEED_ORGS" "${part[@]}" "${again[@]}" ${SEED_OPTIONS:-}
    ;;
  before | after) run diff "${part[@]}" ${DIFF_OPTIONS:-} ;;
  drive)
    run drive "${part[@]}" --start-at "$(start_at)" --orgs "$ORGS" --rate "$RATE" --duration "$DURATION" \
      ${DRIVE_OPTIONS:-}
    ;;
  verdict) verdict ;;
  *) say 'there is no such step'; exit 2 ;;
esac
