#!/bin/sh
# submit.sh JOBSCRIPT: hands Snakemake's script to the scheduler and prints `ID:NAME`.
#
# The script is wrapped: the wrapper leaves the exit status in a file, so that no scheduler has to
# remember finished jobs, and passes signals on to the trainer, which snapshots and ends.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "${COGMENT_SCHEDULER:-$here/scheduler.sh}"

# What the job asks for stands in Snakemake's script, in its line `# properties = {...}`.
set -- "$1" $(sed -n 's/^# properties = //p' "$1" | python3 -c '
import json, sys
job = json.load(sys.stdin)
asked = job["resources"]
print(job["rule"], job["threads"], *(int(asked.get(k, d)) for k, d in
      (("mem_mb", 4000), ("runtime", 60), ("gpu", 0))))')
folder=$PWD/.snakemake/cluster
mkdir -p "$folder"
name=$2.$(date +%s).$$
# Snakemake deletes its script when it ends; the job may outlive it.
cp "$1" "$folder/$name.job"
cat >"$folder/$name.sh" <<WRAPPER
#!/bin/sh
# A process group of its own, to pass signals on to.
setsid sh '$folder/$name.job' &
child=\$!
trap 'kill -s TERM -- -\$child' TERM INT USR1 USR2 XCPU
# A caught signal ends \`wait\`, not the job.
while :; do
    wait \$child
    code=\$?
    kill -0 \$child 2>/dev/null || break
done
echo \$code >'$folder/$name.exit.part'
mv '$folder/$name.exit.part' '$folder/$name.exit'
exit \$code
WRAPPER
chmod +x "$folder/$name.sh"
id=$(submit "$2" "$3" "$4" "$5" "$6" "$folder/$name.log" "$folder/$name.sh")
echo "$id:$name"
