#!/usr/bin/env bash
# One task of an array job: a shard of a step, or the verdict. submit.sh gives the arguments.
set -euo pipefail
here="$1" settings="$2" step="$3"
set -a
# shellcheck source=cluster.env.example
source "$settings"
set +a
export NO_COLOR=1
shard="$SLURM_ARRAY_TASK_ID"
part=(--shard "$shard/$SHARDS" --out "$RUN_DIR/$step/$shard" --rng-seed "${RNG_SEED:-42}")
mkdir -p "$RUN_DIR/$step"

# The first shard to come up decides for all: a link appears whole, once.
start_at() {
  local mine="$RUN_DIR/start-at.$shard"
  date -u -d "+${START_IN:-60} seconds" +%Y-%m-%dT%H:%M:%SZ >"$mine"
  ln "$mine" "$RUN_DIR/start-at" 2>/dev/null || true
  rm -f "$mine"
  cat "$RUN_DIR/start-at"
}

# The options of a step are several words each.
# shellcheck disable=SC2086
case "$step" in
  seed)
    again=()
    [ "${SLURM_RESTART_COUNT:-0}" -eq 0 ] || again=(--resume)
    exec "$CUTOVER" seed --orgs "$SEED_ORGS" "${part[@]}" "${again[@]}" ${SEED_OPTIONS:-}
    ;;
  before | after)
    exec "$CUTOVER" diff "${part[@]}" ${DIFF_OPTIONS:-}
    ;;
  drive)
    exec "$CUTOVER" drive "${part[@]}" --start-at "$(start_at)" --orgs "$ORGS" --rate "$RATE" \
      --duration "$DURATION" ${DRIVE_OPTIONS:-}
    ;;
  verdict)
    shopt -s nullglob
    rm -rf "$RUN_DIR/merged"
    runs=()
    # What was killed has left a record that says so, and nothing to put together.
    for record in "$RUN_DIR"/{before,drive,after}/*/run.json; do
      if grep -q '^  "ended": true' "$record"; then runs+=("${record%/run.json}"); fi
    done
    [ "${#runs[@]}" -gt 0 ] || { echo 'INVALID: no shard has left a record'; exit 30; }
    config=()
    [ -z "${CONFIG:-}" ] || config=(--config "$CONFIG")
    # Its exit code is that of what is there; what is missing, only the gate holds against it.
    "$CUTOVER" merge "${runs[@]}" --out "$RUN_DIR/merged" --database-url "$CUTOVER_DATABASE_URL" "${config[@]}" ||
      [ -e "$RUN_DIR/merged/run.json" ] || exit 30
    exec "$CUTOVER" gate "$RUN_DIR/merged"
    ;;
  *)
    printf 'there is no step %s\n' "$step" >&2
    exit 2
    ;;
esac
