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
    from ptx.trainers.processes import rank
    from ptx.trainers.recipe import Recipe, default_recipe, documented_recipe, find_recipe
    from ptx.trainers.samples import raw_examples, sample_inputs
    from ptx.trainers.session import PREVIOUS
    from ptx.trainers.training import TrainingResult, former_training, train
else:
    _HOMES = {
        "data": "SOURCES Dataset Split open_dataset",
        "evaluation": "Answered Evaluation answer_rows evaluate model_inputs most_wrong",
        "loop": "Progress",
        "processes": "rank",
        "recipe": "Recipe default_recipe documented_recipe find_recipe",
        "samples": "raw_examples sample_inputs",
        "session": "PREVIOUS",
        "training": "TrainingResult former_training train",
    }
    __getattr__, __dir__ = lazy(
        __name__, {name: home for home, names in _HOMES.items() for name in names.split()}
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
    "rank",
    "raw_examples",
    "sample_inputs",
    "train",
]
