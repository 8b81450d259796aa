"""ptx.trainers: data sets, recipes, the training loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.infer.backends.threads import settle_threads
from ptx.infer.lazy import lazy

settle_threads()  # before anything here imports torch

if TYPE_CHECKING:
    from ptx.trainers.data import SOURCES, Dataset, Split, open_dataset
    from ptx.trainers.evaluation import (
        Answered,
        Evaluation,
        answer_rows,
        evaluate,
        model_inputs,
        most_wrong,
    )
    from ptx.trainers.loop import Progress
    from ptx.trainers.recipe import Recipe, default_recipe, documented_recipe, find_recipe
    from ptx.trainers.samples import raw_examples, sample_inputs
    from ptx.trainers.session import PREVIOUS
    from ptx.trainers.training import TrainingResult, former_training, train
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "PREVIOUS": "session",
            "SOURCES": "data",
            "Answered": "evaluation",
            "Dataset": "data",
            "Evaluation": "evaluation",
            "Progress": "loop",
            "Recipe": "recipe",
            "Split": "data",
            "TrainingResult": "training",
            "answer_rows": "evaluation",
            "default_recipe": "recipe",
            "documented_recipe": "recipe",
            "evaluate": "evaluation",
            "find_recipe": "recipe",
            "former_training": "training",
            "model_inputs": "evaluation",
            "most_wrong": "evaluation",
            "open_dataset": "data",
            "raw_examples": "samples",
            "sample_inputs": "samples",
            "train": "training",
        },
    )

__all__ = [
    "PREVIOUS",
    "SOURCES",
    "Answered",
    "Dataset",
    "Evaluation",
    "Progress",
    "Recipe",
    "Split",
    "TrainingResult",
    "answer_rows",
    "default_recipe",
    "documented_recipe",
    "evaluate",
    "find_recipe",
    "former_training",
    "model_inputs",
    "most_wrong",
    "open_dataset",
    "raw_examples",
    "sample_inputs",
    "train",
]
