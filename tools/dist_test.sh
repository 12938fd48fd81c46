#!/usr/bin/env bash
# Test in several processes: one per GPU, or any number of CPU processes on a machine without GPUs.
#
#   tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of tools/test.py]
#
# For several machines, set NNODES, NODE_RANK, MASTER_ADDR and PORT in the environment; see tools/dist_run.sh.
set -euo pipefail

usage() { sed -n '2,6s/^# \{0,1\}//p' "$0"; }
case "${1:-}" in -h | --help) usage && exit 0 ;; esac
if [ "$#" -lt 3 ]; then
    usage >&2
    exit 2
fi
config=$1
checkpoint=$2
processes=$3
shift 3
exec bash "$(dirname "$0")/dist_run.sh" test.py "$processes" "$config" "$checkpoint" "$@"
