# The one file to adapt. Three functions; COGMENT_SCHEDULER may name another file that has them.
# As it stands: Grid Engine. In PBS, for example, `submit` is
#   qsub -N "$1" -l select=1:ncpus="$2":mem="$3"mb:ngpus="$5",walltime="$4":00:00 -o "$6" -j oe "$7"
# with the minutes made hours first, `alive` is `qstat "$1"`, and `cancel` is `qdel "$@"`.

# submit NAME THREADS MEMORY_MB MINUTES GPUS LOG SCRIPT: prints the scheduler's job id, alone.
submit() {
    gpu=
    [ "$5" -gt 0 ] && gpu="-l gpu=$5"
    qsub -terse -V -cwd -notify -N "$1" -pe smp "$2" -l mem_free="$3"M -l h_rt=$(($4 * 60)) $gpu \
        -o "$6" -j y -S /bin/sh "$7"
}

# alive ID: exit status 0 while the job waits or runs, 1 once it does not. Where the scheduler does
# not answer, say alive: a living job taken for dead would be submitted a second time.
alive() {
    answer=$(qstat -j "$1" 2>&1) && return 0
    case $answer in *"do not exist"*) return 1 ;; *) return 0 ;; esac
}

# cancel ID...: end these jobs.
cancel() {
    qdel "$@"
}
