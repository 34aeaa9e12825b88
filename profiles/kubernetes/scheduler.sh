# Kubernetes as a scheduler, for the scripts of profiles/cluster-generic. What a site has to say:
IMAGE=${COGMENT_IMAGE:-cogment-pipe:latest} # the Dockerfile's, in a registry of the cluster
CLAIM=${COGMENT_CLAIM:-cogment}             # a volume claim that many nodes can write (RWX)
MOUNT=${COGMENT_MOUNT:-/work}               # where it is mounted, here and in every job
NAMESPACE=${COGMENT_NAMESPACE:-default}
GRACE=120 # seconds between SIGTERM and SIGKILL: one step and one snapshot

# submit NAME THREADS MEMORY_MB MINUTES GPUS LOG SCRIPT: prints the name of the new Job.
submit() {
    gpus=
    [ "$5" -gt 0 ] && gpus=", nvidia.com/gpu: \"$5\""
    resources="{cpu: \"$2\", memory: $3Mi$gpus}"
    kubectl --namespace "$NAMESPACE" create --filename - --output 'jsonpath={.metadata.name}' <<JOB
apiVersion: batch/v1
kind: Job
metadata:
  generateName: cogment-$(echo "$1" | tr _ -)-
  labels: {app: cogment-pipe}
spec:
  backoffLimit: 0
  activeDeadlineSeconds: $(($4 * 60))
  ttlSecondsAfterFinished: 86400
  template:
    metadata:
      labels: {app: cogment-pipe}
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: $GRACE
      containers:
        - name: job
          image: $IMAGE
          workingDir: $PWD
          command: [sh, -c, 'exec sh "\$0" >"\$1" 2>&1', "$7", "$6"]
          resources: {requests: $resources, limits: $resources}
          volumeMounts: [{name: work, mountPath: $MOUNT}, {name: shm, mountPath: /dev/shm}]
      tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
      volumes:
        - {name: work, persistentVolumeClaim: {claimName: $CLAIM}}
        - {name: shm, emptyDir: {medium: Memory}}
JOB
}

# alive NAME: 0 while the Job is neither complete, nor failed, nor deleted; no answer: alive.
alive() {
    state=$(kubectl --namespace "$NAMESPACE" get job "$1" --output \
        'jsonpath={.status.conditions[?(@.status=="True")].type}' 2>&1) ||
        case $state in *NotFound*) return 1 ;; *) return 0 ;; esac
    case $state in *Complete* | *Failed*) return 1 ;; *) return 0 ;; esac
}

# cancel NAME...: deletes the Jobs; their pods get SIGTERM.
cancel() {
    kubectl --namespace "$NAMESPACE" delete job "$@"
}
