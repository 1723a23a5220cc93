#!/usr/bin/env bash
# slurm-array.sh MAKE-ARGUMENT...
#
# A makefile of this folder as Slurm job arrays, where `make SHELL=srun` within one allocation does not suit: each
# line of `make stages` is an array with a task for each of its files, which begins when the one before it has
# succeeded.
#
#   SBATCH='-p long --mem=8G -c4' ./slurm-array.sh -f dsir.mk PARTS="$(echo part.*.jsonl)" TARGET=target.jsonl
#
# Run it in the folder that the files go to, which the nodes share. Prints the job numbers. The jobs after one that
# fails are cancelled; started again, this makes what is missing. WAIT=SECONDS waits for the end, looking that often,
# and exits 1 unless all is made.
#
# SBATCH     flags of sbatch for every task
# TASKS_MAX  tasks of an array at the most (1000, below Slurm's MaxArraySize); where files are more, a task makes several
set -euo pipefail

# A task: FOLDER STAGE TASKS MAKE-ARGUMENT...
if [[ -n ${SLURM_ARRAY_TASK_ID:-} && ${1:-} == --task ]]; then
  mapfile -t files < <(awk -v tasks="$4" -v task="$SLURM_ARRAY_TASK_ID" 'NR % tasks == task' "$2/$3")
  exec make SETTLED=1 "${@:5}" "${files[@]}"
fi
[[ $# -gt 0 ]] || { sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" >&2; exit 2; }

# What the tasks have in common is written before they start.
make -s "$@" flags
folder=$(mktemp -d "$PWD/slurm-array.XXXXXX")
mapfile -t stages < <(make -s "$@" stages)
read -ra flags <<< "${SBATCH:-}"
jobs=()
for stage in "${!stages[@]}"; do
  read -ra files <<< "${stages[stage]}"
  printf '%s\n' "${files[@]}" > "$folder/$stage"
  tasks=$((${#files[@]} < ${TASKS_MAX:-1000} ? ${#files[@]} : ${TASKS_MAX:-1000}))
  after=(${jobs[0]:+"--dependency=afterok:${jobs[-1]}" --kill-on-invalid-dep=yes})
  jobs+=("$(sbatch --parsable --job-name="make.$stage" --array="0-$((tasks - 1))" --output="$folder/%x.%a.log" \
    "${after[@]}" "${flags[@]}" "$(realpath "$0")" --task "$folder" "$stage" "$tasks" "$@")")
done
echo "${jobs[*]}"
[[ -n ${WAIT:-} ]] || exit 0
until [[ -z $(squeue --noheader --jobs="$(IFS=,; echo "${jobs[*]}")" 2> /dev/null) ]]; do sleep "$WAIT"; done
exec make -q "$@" "${files[@]}"
