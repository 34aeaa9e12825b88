"""profiles/kubernetes: it plans, and what a job asks for reaches its manifest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import copy_of_the_project
from tests.workflow.test_cluster_generic import job_script

# What `kubectl create`, `get` and `delete` answer; it keeps the manifest it was given.
KUBECTL = """#!/bin/sh
echo "$@" >>"$KUBECTL_LOG"
case $3 in
create) cat >"$KUBECTL_LOG.manifest"; printf 'cogment-train-stage-x7' ;;
get) cat "$KUBECTL_LOG.answer" >&2; exit "$(cat "$KUBECTL_LOG.code")" ;;
esac
"""


@pytest.fixture
def kubectl(tmp_path) -> dict[str, str]:
    """Environment with a kubectl that only takes notes."""
    program = tmp_path / "bin/kubectl"
    program.parent.mkdir()
    program.write_text(KUBECTL)
    program.chmod(0o755)
    return {
        "PATH": os.pathsep.join([str(program.parent), os.environ["PATH"]]),
        "KUBECTL_LOG": str(tmp_path / "kubectl.log"),
        "COGMENT_IMAGE": "registry.example/cogment:1",
        "COGMENT_CLAIM": "shared",
        "COGMENT_MOUNT": "/shared",
        "COGMENT_LATENCY": "0",
    }


@pytest.fixture
def script(project, tmp_path, kubectl):
    """Runs one of the profile's scripts."""

    def called(name: str, *words: str) -> str:
        done = subprocess.run(
            [str(project / "profiles/kubernetes" / name), *words],
            cwd=tmp_path,
            env={**os.environ, **kubectl},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return called


def test_the_profile_plans_the_full_run(project, tmp_path):
    """`snakemake -n --profile profiles/kubernetes` plans all stages, at scale full."""
    run = copy_of_the_project(project, tmp_path / "run")
    words = ("-n", "results/stage4/", "--profile", "profiles/kubernetes")
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *words],
        cwd=run.project,
        env=run.environment(),
        capture_output=True,
        text=True,
        timeout=3600,
    )
    assert done.returncode == 0, done.stderr
    assert "Training stage 4" in done.stdout + done.stderr
    assert "scale auto" not in done.stderr


def test_resources_reach_the_manifest(script, tmp_path):
    """GPU, memory, cores, wall time, volume and time to snapshot, as Kubernetes wants them."""
    job = script("submit.sh", job_script(tmp_path, "exit 0"))
    assert job.startswith("cogment-train-stage-x7:train_stage.")
    manifest = yaml.safe_load((tmp_path / "kubectl.log.manifest").read_text())
    spec = manifest["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    asked = {"cpu": "2", "memory": "700Mi", "nvidia.com/gpu": "1"}
    # A GPU that is requested without an equal limit is refused by Kubernetes.
    assert container["resources"] == {"requests": asked, "limits": asked}
    assert container["image"] == "registry.example/cogment:1"
    assert container["workingDir"] == str(tmp_path)
    assert Path(container["command"][3]).is_file()
    assert {"name": "work", "mountPath": "/shared"} in container["volumeMounts"]
    assert {"name": "work", "persistentVolumeClaim": {"claimName": "shared"}} in spec["volumes"]
    assert manifest["spec"]["activeDeadlineSeconds"] == 3600
    assert manifest["spec"]["backoffLimit"] == 0
    assert spec["terminationGracePeriodSeconds"] >= 60


@pytest.mark.parametrize(
    ("answer", "code", "state"),
    [
        ("", 0, "running"),
        ("Failed", 0, "failed"),
        ('Error from server (NotFound): jobs "x" not found', 1, "failed"),
        ("Unable to connect to the server: timeout", 1, "running"),
    ],
)
def test_the_state_of_a_job(script, tmp_path, answer, code, state):
    """A job that failed or was deleted is run again; a silent cluster is no proof of death."""
    (tmp_path / "kubectl.log.answer").write_text(answer)
    (tmp_path / "kubectl.log.code").write_text(str(code))
    assert script("status.sh", "cogment-train-stage-x7:train_stage.1.2") == state


def test_cancelling_deletes_the_job(script, tmp_path):
    """Ctrl-C in Snakemake deletes its Jobs by name."""
    script("cancel.sh", "cogment-a:train_stage.1.2", "cogment-b:train_stage.1.3")
    said = (tmp_path / "kubectl.log").read_text()
    assert said == "--namespace default delete job cogment-a cogment-b\n"
