"""Runs beside the main one: other seeds and ablations. Which of them trains what. Torch-free.

A run is named `seed{s}` (the whole curriculum) or `{variant}-seed{s}` (an ablation). Its stages and
data are made once: by the first run, the main one before all others, that has the same slices up to
there. So a variant that changes stage 3 alone starts from stage 2 of the base run.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pydantic import ValidationError

from cogment_pipe import slices
from cogment_pipe.ablation_config import BASE, Variant
from cogment_pipe.atomic import canonical_json
from cogment_pipe.config import PipelineConfig
from cogment_pipe.config_errors import one_line
from cogment_pipe.config_layers import merge, normal
from cogment_pipe.errors import CogmentError

MAIN = "main"
NAME = re.compile(r"(?:(?P<variant>[A-Za-z0-9_]+)-)?seed(?P<seed>[0-9]+)")
SHORTENED = ("max_steps", "eval_every", "patience", "warmup_steps")


class DerivedRuns:
    """All runs that a configuration leads to.

    Methods take the name of a run; CogmentError for one that the configuration does not have.
    """

    def __init__(self, config: PipelineConfig) -> None:
        self.main = config
        self.config = cache(self._config)
        self.stage_slice = cache(self._stage_slice)
        self._data_key = cache(self._data_key)

    def folder(self, run: str) -> str:
        """Where the results of a run lie, relative to the working directory."""
        return "results" if run == MAIN else f"results/runs/{run}"

    def trained_by(self, run: str, k: int) -> str:
        """The run that trains stage k of `run`."""
        return next(r for r in self._before(run) if self._same_stage(r, run, k))

    def data_by(self, run: str) -> str:
        """The run that prepares the data of `run`, all stages and the tokenizer."""
        return next(r for r in self._before(run) if self._data_key(r) == self._data_key(run))

    def stage_folder(self, run: str, k: int) -> str:
        """Folder of stage k of a run, wherever it is trained."""
        return f"{self.folder(self.trained_by(run, k))}/stage{k}"

    def score_file(self, run: str, k: int) -> str:
        """Scores of checkpoint k of a run."""
        return f"{self.folder(self.trained_by(run, k))}/eval/stage{k}/metrics.json"

    def data_folder(self, run: str) -> str:
        """Folder of the data of a run."""
        return f"{self.folder(self.data_by(run))}/data"

    def comparison(self) -> str:
        """What the table of the ablations depends on besides its files, as canonical JSON.

        `variants`: name -> title and seeds; `files`: variant -> seed -> score file of each stage.
        """
        ablations, stages = self.main.ablations, range(self.main.last_stage + 1)
        seeds = ablations.compared()
        titles = {BASE: "The configuration as it is"}
        titles |= {name: variant.title for name, variant in ablations.variants.items()}
        files = {
            name: {
                str(seed): [self.score_file(f"{name}-seed{seed}", k) for k in stages]
                for seed in seeds[name]
            }
            for name in seeds
        }
        variants = [{"name": name, "title": titles[name]} for name in seeds]
        shared = {"budget": ablations.budget, "scale": self.main.scale}
        return canonical_json({**shared, "variants": variants, "files": files})

    def _before(self, run: str) -> list[str]:
        """Runs that may have made something already, in order; `run` itself is the last."""
        if run == MAIN:
            return [MAIN]
        variant, seed = _parts(run)
        names = [MAIN, f"seed{seed}"]
        if variant is not None:
            order = [BASE, *self.main.ablations.variants]
            names += [f"{v}-seed{seed}" for v in order[: order.index(variant) + 1]]
        return names[: names.index(run) + 1] if run in names else [*names, run]

    def _config(self, run: str) -> PipelineConfig:
        if run == MAIN:
            return self.main
        variant, seed = _parts(run)
        ablations = self.main.ablations
        config = self.main.model_copy(update={"seed": seed})
        if variant is None:
            return config
        if variant != BASE and variant not in ablations.variants:
            known = ", ".join((BASE, *ablations.variants))
            raise CogmentError(f"config: ablations: no variant {variant!r}; known: {known}")
        changed = _shortened(config.model_dump(), ablations.budget)
        changed["threads"] = ablations.threads or config.threads
        if variant != BASE:
            changed = _applied(changed, ablations.variants[variant])
        try:
            return PipelineConfig.model_validate(changed)
        except ValidationError as error:
            where = f"config: ablations.variants.{variant}: "
            raise CogmentError(one_line(error, PipelineConfig, where)) from None

    def _stage_slice(self, run: str, k: int) -> str:
        config = self.config(run)
        if not config.stages[k].grokfast:
            # Settings of a filter that the stage does not use would train it again for nothing.
            config = config.model_copy(update={"grokfast": self.main.grokfast})
        return slices.stage_slice(config, k)

    def _same_stage(self, one: str, other: str, k: int) -> bool:
        return self._data_key(one) == self._data_key(other) and all(
            self.stage_slice(one, j) == self.stage_slice(other, j) for j in range(k + 1)
        )

    def _data_key(self, run: str) -> tuple[str, ...]:
        config = self.config(run)
        stages = range(config.last_stage + 1)
        return tuple(slices.data_slice(config, k) for k in stages)


def _parts(run: str) -> tuple[str | None, int]:
    """(variant or None, seed) of a run's name."""
    found = NAME.fullmatch(run)
    if found is None:
        raise CogmentError(f"no run {run!r}; names are like seed1 or {BASE}-seed1")
    return found["variant"], int(found["seed"])


def _shortened(config: dict[str, Any], budget: float) -> dict[str, Any]:
    """The same curriculum on a share of every stage's steps."""
    stages = {
        k: {**stage, **{name: max(1, round(stage[name] * budget)) for name in SHORTENED}}
        for k, stage in config["stages"].items()
    }
    return {**config, "stages": stages}


def _applied(config: dict[str, Any], variant: Variant) -> dict[str, Any]:
    """The configuration with a variant's changes."""
    stages = {"stages": dict.fromkeys(variant.stages, variant.stage)}
    return merge(merge(config, normal(variant.config)), stages)
