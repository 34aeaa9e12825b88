"""Cogment Pipe: a reproducible pipeline that trains Cogment through five curriculum stages.

Names are imported when they are first used, so `import cogment_pipe` is quick and torch-free.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cogment_pipe.api import CogmentTrainer
    from cogment_pipe.curriculum import CurriculumStage, FourStageCurriculum
    from cogment_pipe.detect import ConvergenceDetector
    from cogment_pipe.errors import CogmentError
    from cogment_pipe.model_folder import load
    from cogment_pipe.solution import Answer, Solution
    from cogment_pipe.solver import Solver
    from cogment_pipe.stage_config import (
        GrokFastConfig,
        ModelConfig,
        MultiOptimizerConfig,
        StageConfig,
    )
    from cogment_pipe.stage_evaluator import EvaluationMetrics, StageEvaluator
    from cogment_pipe.training_config import StageResult, TrainingConfig

__version__ = "0.1.0"

_MODULES = {
    "CogmentTrainer": "api",
    "TrainingConfig": "training_config",
    "StageResult": "training_config",
    "MultiOptimizerConfig": "stage_config",
    "GrokFastConfig": "stage_config",
    "StageConfig": "stage_config",
    "ModelConfig": "stage_config",
    "FourStageCurriculum": "curriculum",
    "CurriculumStage": "curriculum",
    "StageEvaluator": "stage_evaluator",
    "EvaluationMetrics": "stage_evaluator",
    "ConvergenceDetector": "detect",
    "CogmentError": "errors",
    "load": "model_folder",
    "Solver": "solver",
    "Solution": "solution",
    "Answer": "solution",
}

__all__ = [
    "Answer",
    "CogmentError",
    "CogmentTrainer",
    "ConvergenceDetector",
    "CurriculumStage",
    "EvaluationMetrics",
    "FourStageCurriculum",
    "GrokFastConfig",
    "ModelConfig",
    "MultiOptimizerConfig",
    "Solution",
    "Solver",
    "StageConfig",
    "StageEvaluator",
    "StageResult",
    "TrainingConfig",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
