"""The chain from data sources to the last checkpoint, checked link by link against manifests.

A link holds when the sha256 that a manifest records for its input is the one that another manifest
records (or a JSON file here has) for its output. Checkpoints are not read: `verify` does.
"""

from __future__ import annotations

from dataclasses import dataclass

from cogment_pipe.report.artifacts import Run, StageRecord

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Link:
    """One input of a stage and where it comes from."""

    name: str
    sha256: str
    origin: str  # "" where no artifact here has that digest
    holds: bool


@dataclass(frozen=True)
class StageChain:
    """What a stage was made from and what it left."""

    stage: int
    parent: str | None
    parent_state: str  # "holds", "broken", "unknown" or "none"
    inputs: list[Link]
    outputs: list[tuple[str, str, str]]  # name, sha256, "as recorded" | "changed" | "not checked"
    source: str
    bit_identical: bool | None


def stage_chains(run: Run) -> list[StageChain]:
    """The chain of every stage that has a manifest, in order."""
    known = _known_digests(run)
    return [_chain(run, record, known) for record in run.stages if record.manifest]


def _known_digests(run: Run) -> dict[str, str]:
    """sha256 -> what has it: files here, and files that manifests say were written."""
    known = {digest: name for name, digest in run.digests.items()}
    for record in run.stages:
        for folder, manifest in (("data/stage", record.data), ("stage", record.manifest)):
            for name, digest in sorted(((manifest or {}).get("outputs") or {}).items()):
                known.setdefault(digest, f"{folder}{record.stage}/{name}")
    return known


def _chain(run: Run, record: StageRecord, known: dict[str, str]) -> StageChain:
    manifest = record.manifest or {}
    inputs = [
        Link(name, digest, known.get(digest, ""), digest in known)
        for name, digest in sorted((manifest.get("inputs") or {}).items())
    ]
    outputs = []
    for name, digest in sorted((manifest.get("outputs") or {}).items()):
        here = run.digests.get(f"stage{record.stage}/{name}")
        state = "not checked" if here is None else "as recorded" if here == digest else "changed"
        outputs.append((name, digest, state))
    return StageChain(
        stage=record.stage,
        parent=manifest.get("parent"),
        parent_state=_parent_state(run, record),
        inputs=inputs,
        outputs=outputs,
        source=str(manifest.get("source") or ""),
        bit_identical=manifest.get("bit_identical"),
    )


def _parent_state(run: Run, record: StageRecord) -> str:
    """Whether the stage started from the checkpoint that the stage before it recorded."""
    parent = (record.manifest or {}).get("parent")
    if record.stage == 0:
        return "none" if parent is None else "unknown"
    before = run.stages[record.stage - 1].manifest
    recorded = ((before or {}).get("outputs") or {}).get(CHECKPOINT)
    if parent is None or recorded is None:
        return "unknown"
    return "holds" if parent == recorded else "broken"


def broken_links(chains: list[StageChain]) -> list[str]:
    """One sentence for each link that does not hold."""
    said = []
    for chain in chains:
        if chain.parent_state == "broken":
            said.append(
                f"Stage {chain.stage} did not start from the checkpoint that stage "
                f"{chain.stage - 1} has now; train it again."
            )
        elif chain.stage > 0 and chain.parent_state == "unknown":
            said.append(f"Where stage {chain.stage} started from cannot be shown from manifests.")
        changed = [name for name, _, state in chain.outputs if state == "changed"]
        if changed:
            listed = ", ".join(changed)
            said.append(f"Stage {chain.stage}: {listed} changed after the manifest was written.")
    return said
