#!/usr/bin/env bash
# Submits one sharded rehearsal: seed, compare, drive, compare, one verdict. See README.md.
#     deploy/slurm/submit.sh cluster.env
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
[ $# -eq 1 ] || { printf 'usage: %s cluster.env\n' "$0" >&2; exit 2; }
settings="$(readlink -f "$1")"
# shellcheck source=cluster.env.example
source "$settings"
for name in RUN_DIR CUTOVER SHARDS CUTOVER_DATABASE_URL CUTOVER_BASE_URL ORGS RATE DURATION; do
  [ -n "${!name:-}" ] || { printf '%s: %s is not set\n' "$settings" "$name" >&2; exit 2; }
done
[ -x "$CUTOVER" ] || { printf '%s: CUTOVER=%s is no program\n' "$settings" "$CUTOVER" >&2; exit 2; }
if ! mkdir -p "$RUN_DIR" || [ -n "$(ls -A "$RUN_DIR")" ]; then
  printf '%s: RUN_DIR=%s is not an empty folder\n' "$settings" "$RUN_DIR" >&2
  exit 2
fi
mkdir "$RUN_DIR/log"

# Submits a step as an array of SHARDS; what it waits for, and more options, come first.
submit() {
  local step="$1" array="$2"
  shift 2
  # shellcheck disable=SC2086  # SBATCH_OPTIONS is several words
  sbatch --parsable --job-name="cutover-$step" --output="$RUN_DIR/log/$step-%a.log" --array="$array" \
    --kill-on-invalid-dep=yes ${SBATCH_OPTIONS:-} "$@" "$here/../step.sh" "$settings" "$step"
}

seeded=()
if [ -n "${SEED_ORGS:-}" ]; then
  seed="$(submit seed "1-$SHARDS" --requeue)"
  seeded=(--dependency="afterok:$seed")
fi
before="$(submit before "1-$SHARDS" "${seeded[@]}" --requeue)"
# A part of the schedule that has passed cannot be sent again.
drive="$(submit drive "1-$SHARDS" --dependency="afterok:$before" --no-requeue)"
after="$(submit after "1-$SHARDS" --dependency="afterany:$drive" --requeue)"
verdict="$(submit verdict 1 --dependency="afterany:$after" --requeue)"
printf '%s\n' ${seed:+"seed=$seed"} "before=$before" "drive=$drive" "after=$after" "verdict=$verdict"
