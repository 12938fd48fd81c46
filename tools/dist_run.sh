#!/usr/bin/env bash
# Run one of the tools in several processes. tools/dist_train.sh and tools/dist_test.sh use this script.
#
#   tools/dist_run.sh TOOL.py PROCESSES [arguments of the tool]
#
# For several machines, run it on each one with NNODES (number of machines), NODE_RANK (index of this machine, from 0),
# MASTER_ADDR (address of the first machine) and PORT in the environment. PROCESSES is the number of processes on each
# machine: one per GPU, or any number of CPU processes on a machine without GPUs.
set -euo pipefail

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0"; }
case "${1:-}" in -h | --help) usage && exit 0 ;; esac
if [ "$#" -lt 2 ]; then
    usage >&2
    exit 2
fi
tool=$1
processes=$2
shift 2

here=$(cd "$(dirname "$0")" && pwd)
nodes=${NNODES:-1}
if [ "$nodes" = 1 ] && [ -z "${PORT:-}" ]; then
    # On a single machine, let torchrun find a free port, so that two runs don't collide.
    rendezvous=(--standalone)
else
    rendezvous=(--nnodes="$nodes" --node_rank="${NODE_RANK:-0}"
        --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}")
fi
# Without this, every process would use every core.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

exec "${PYTHON:-python}" -m torch.distributed.run "${rendezvous[@]}" --nproc_per_node="$processes" \
    "$here/$tool" "$@" --launcher pytorch
