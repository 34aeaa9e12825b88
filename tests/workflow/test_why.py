"""`why` and `verify` on a real run: what is stale and by what, and what is damaged, by name."""

from __future__ import annotations

import json

from cogment_pipe.provenance import seal
from tests.workflow.test_recovery import command


def why(run, *words: str) -> tuple[int, dict[int, list[str]]]:
    """Exit code, and the reasons that are given for each stage."""
    done = command(run, "why", "--scale", "tiny", *words)
    assert not done.stderr, done.stderr
    found: dict[int, list[str]] = {}
    for line in done.stdout.splitlines():
        if line.startswith("stage "):
            found[int(line[6])] = []
        else:
            found[max(found)].append(line.strip())
    return done.returncode, found


def test_a_finished_run_is_up_to_date_and_verifies(finished):
    """Nothing to say about any stage; every manifest holds."""
    assert why(finished) == (0, {k: [] for k in range(5)})
    done = command(finished, "verify", "results")
    assert done.returncode == 0
    assert done.stdout.endswith(" manifests, 0 problems\n")


def test_a_config_leaf_is_named_with_both_values(finished):
    """Stage 3's rate makes it stale, and stage 4 by it."""
    code, found = why(finished, "--set", "stages.3.learning_rate=2e-3")
    assert code == 1
    assert found == {
        0: [],
        1: [],
        2: [],
        3: ["config stage.learning_rate: 0.001 -> 0.002"],
        4: ["stage 3 is stale"],
    }


def test_a_module_is_named(run):
    """A change of what the losses do is their module's, in every stage; a comment is none."""
    path = run.project / "cogment_pipe/losses.py"
    whole = path.read_text()
    path.write_text(whole + "\n# a comment\n")
    assert why(run)[0] == 0
    path.write_text(whole + "\n\nANOTHER_CONSTANT = 1\n")
    assert why(run) == (1, {k: ["code cogment_pipe.losses changed"] for k in range(5)})


def test_an_input_is_named(run):
    """Other data of stage 4, which no stage before it reads."""
    path = run.out / "results/data/stage4/manifest.json"
    path.write_text(json.dumps(seal(json.loads(path.read_text()) | {"note": "another"})))
    code, found = why(run)
    assert code == 1
    assert {k: lines for k, lines in found.items() if lines} == {
        4: ["input results/data/stage4/manifest.json changed"]
    }


def test_a_damaged_and_an_exchanged_file_are_named(run):
    """One flipped bit, and a checkpoint that is another run's though its own manifest holds."""
    weights = run.out / "results/stage1/model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    done = command(run, "verify", "results")
    assert done.returncode == 1
    assert done.stdout.startswith("results/stage1/model.safetensors: ")
    assert done.stdout.endswith("1 problems\n")
    weights.write_bytes(whole)
    manifest = run.out / "results/stage3/manifest.json"
    manifest.write_text(json.dumps(seal(json.loads(manifest.read_text()) | {"parent": "0" * 64})))
    done = command(run, "verify", "results")
    assert done.returncode == 1
    assert "results/stage3: was trained from another results/stage2/checkpoint.pt" in done.stdout
