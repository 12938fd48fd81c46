#!/usr/bin/env bash
# Train under Slurm: srun starts one process per GPU (or per task), and the processes connect on their own.
#
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of tools/train.py]
#
# Environment variables: GPUS (total number of processes, default 8), GPUS_PER_NODE (default 8; 0 requests no GPU),
# CPUS_PER_TASK (default 5), PORT (default 29500), SRUN_ARGS (further options of srun, e.g. "--time=8:00:00").
# If Slurm may requeue the job, add --resume. A run without a checkpoint then starts from the beginning.
set -euo pipefail

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }
case "${1:-}" in -h | --help) usage && exit 0 ;; esac
if [ "$#" -lt 4 ]; then
    usage >&2
    exit 2
fi
partition=$1
job_name=$2
config=$3
work_dir=$4
shift 4

processes=${GPUS:-8}
per_node=${GPUS_PER_NODE:-8}
tasks_per_node=$(( per_node > 0 && per_node < processes ? per_node : processes ))
gres=()
if [ "$per_node" -gt 0 ]; then
    gres=(--gres="gpu:$tasks_per_node")
fi
here=$(cd "$(dirname "$0")" && pwd)
export MASTER_PORT=${PORT:-29500}

# shellcheck disable=SC2086  # SRUN_ARGS is a list of words
exec srun --partition="$partition" --job-name="$job_name" "${gres[@]}" --ntasks="$processes" \
    --ntasks-per-node="$tasks_per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$here/train.py" "$config" --work-dir "$work_dir" --launcher slurm "$@"
