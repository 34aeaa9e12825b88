#!/bin/sh
# status.sh ID:NAME: prints running, success or failed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "${COGMENT_SCHEDULER:-$here/scheduler.sh}"
exit_file=.snakemake/cluster/${1#*:}.exit

ended() {
    [ -f "$exit_file" ] || return 1
    if [ "$(cat "$exit_file")" = 0 ]; then echo success; else echo failed; fi
}

ended && exit
if alive "${1%%:*}"; then
    echo running
    exit
fi
# The file of a job that has just ended may still be on its way through a network file system.
for wait in 1 2 4 8 15; do
    ended && exit
    sleep "${COGMENT_LATENCY:-$wait}"
done
ended || echo failed
