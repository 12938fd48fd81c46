#!/usr/bin/env bash
# Train in several processes: one per GPU, or any number of CPU processes on a machine without GPUs.
#
#   tools/dist_train.sh CONFIG PROCESSES [options of tools/train.py]
#
# For several machines, set NNODES, NODE_RANK, MASTER_ADDR and PORT in the environment; see tools/dist_run.sh.
set -euo pipefail

usage() { sed -n '2,6s/^# \{0,1\}//p' "$0"; }
case "${1:-}" in -h | --help) usage && exit 0 ;; esac
if [ "$#" -lt 2 ]; then
    usage >&2
    exit 2
fi
config=$1
processes=$2
shift 2
exec bash "$(dirname "$0")/dist_run.sh" train.py "$processes" "$config" "$@"
