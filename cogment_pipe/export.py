"""Weights for use elsewhere: a folder with safetensors, configuration, model card and manifest.

Everything is copied from a finished stage or made from its manifests; nothing is computed again,
so the same stage gives the same bytes. No ONNX: a refinement loop that ends row by row and a memory
that is carried along a document have no faithful graph there.
"""

from __future__ import annotations

from pathlib import Path

from cogment_pipe.atomic import sha256_file, write_bytes
from cogment_pipe.errors import CogmentError
from cogment_pipe.provenance import MANIFEST, read_manifest, write_manifest
from cogment_pipe.report.card import model_card

WEIGHTS, CONFIG, SUMMARY, CARD = "model.safetensors", "config.json", "summary.json", "README.md"
TOKENIZER = "tokenizer.json"
TEXT_STAGES = (3, 4)
PACKED = "packed_from"  # in a manifest: made by `export`, from the manifest with this sha256
KEPT = ("stage", "slice", "source", "parent", "inputs", "versions", "environment", "device")
KEPT += ("precision", "threads", "bit_identical")
SOLVE = 'answer = model.solve(grid, task="sudoku")  # (H, W) symbols in; .grid, .steps, .confidence'
ANSWER = 'answer = model.answer("Where does Kim live?", context="Kim lives in Rome.")'
USAGE = """\
```python
from cogment_pipe import load

model = load("{folder}")
{call}
```

`{weights}` holds the averaged weights under the names of `cogment_pipe.model.model.Cogment`, and
`{config}` what they were trained with; `docs/api.md` of the project says more."""


def export_stage(stage: Path, out: Path) -> list[Path]:
    """Copy a finished stage's weights and configuration into `out`, with card and manifest.

    Args:
        stage: `results/stage{k}`; evaluation, data and tokenizer are looked for beside it.
        out: new or empty folder, or one that `export` made before.

    Returns:
        The files written.

    Raises:
        CogmentError: no finished stage, weights that do not match their manifest, or a folder
            that holds something else.
    """
    stage, out = Path(stage), Path(out)
    if not stage.is_dir():
        raise CogmentError(f"{stage}: no such folder; name a trained stage, as results/stage4")
    manifest = read_manifest(stage)
    if PACKED in manifest or "slice" not in manifest:
        raise CogmentError(
            f"{stage}: not the folder of a trained stage; name one, as results/stage4"
        )
    _refuse_other(out)
    _refuse_damaged(stage, manifest)
    copied = {name: stage / name for name in (WEIGHTS, CONFIG, SUMMARY)}
    text = manifest["stage"] in TEXT_STAGES
    if text:
        copied[TOKENIZER] = stage.parent / "data" / TOKENIZER
        if not copied[TOKENIZER].is_file():
            raise CogmentError(f"{copied[TOKENIZER]}: missing; stage {manifest['stage']} needs it")
    call = ANSWER if text else SOLVE
    usage = USAGE.format(folder=out.name, call=call, weights=WEIGHTS, config=CONFIG)
    card = model_card(stage, usage)
    out.mkdir(parents=True, exist_ok=True)
    for name, source in copied.items():
        write_bytes(out / name, source.read_bytes())
    write_bytes(out / CARD, card.encode())
    kept = {key: manifest[key] for key in KEPT if key in manifest}
    kept[PACKED] = sha256_file(stage / MANIFEST)
    names = [*copied, CARD]
    write_manifest(out, kept, names)
    return [out / name for name in (*names, MANIFEST)]


def pack_results(results: Path, out: Path) -> list[Path]:
    """Every finished stage of `results` as `out`/stage{k}, as `load` and `predict` take them."""
    stages = sorted(path.parent for path in Path(results).glob(f"stage[0-9]/{MANIFEST}"))
    if not stages:
        raise CogmentError(f"{results}: no finished stage; run the pipeline first")
    return [file for stage in stages for file in export_stage(stage, Path(out) / stage.name)]


def _refuse_other(out: Path) -> None:
    """Only a folder that is new, empty, or an earlier export is written to."""
    if out.is_file():
        raise CogmentError(f"{out}: is a file; name a folder to write to")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / MANIFEST).is_file() or PACKED not in read_manifest(out):
        raise CogmentError(f"{out}: holds other files; name a new folder")


def _refuse_damaged(stage: Path, manifest: dict) -> None:
    for name in (WEIGHTS, CONFIG, SUMMARY):
        path, recorded = stage / name, manifest["outputs"].get(name)
        if not path.is_file():
            raise CogmentError(f"{path}: missing; train the stage again, or put it back")
        if recorded != sha256_file(path):
            raise CogmentError(f"{path}: does not match its manifest; train the stage again")
