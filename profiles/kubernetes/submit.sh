#!/bin/sh
# As for any scheduler, with the functions of this folder's scheduler.sh.
here=$(cd "$(dirname "$0")" && pwd)
COGMENT_SCHEDULER=$here/scheduler.sh exec "$here/../cluster-generic/submit.sh" "$@"
