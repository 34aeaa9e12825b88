# The smallest scheduler there is: processes of this machine. For tests, with COGMENT_SCHEDULER.

submit() {
    echo "$@" >>"$LOCAL_SCHEDULER/submitted"
    setsid sh "$7" >"$6" 2>&1 </dev/null &
    echo $!
}

alive() {
    [ -d "/proc/$1" ]
}

cancel() {
    kill -s TERM "$@"
}
