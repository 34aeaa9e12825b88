#!/bin/sh
# cancel.sh ID:NAME...: ends jobs; Snakemake calls it on Ctrl-C.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "${COGMENT_SCHEDULER:-$here/scheduler.sh}"
for job; do
    set -- "$@" "${job%%:*}"
    shift
done
cancel "$@"
