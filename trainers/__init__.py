"""ptx.trainers: data sets, recipes, the training loop."""

from __future__ import annotations

from ptx.infer.backends.pytorch.threads import settle_threads

settle_threads()  # before what follows imports torch

from ptx.trainers.data import SOURCES, Dataset, Split, open_dataset
from ptx.trainers.evaluation import Evaluation, evaluate
from ptx.trainers.loop import Progress
from ptx.trainers.recipe import Recipe, default_recipe, documented_recipe, find_recipe
from ptx.trainers.samples import sample_inputs
from ptx.trainers.training import TrainingResult, train

__all__ = [
    "SOURCES",
    "Dataset",
    "Evaluation",
    "Progress",
    "Recipe",
    "Split",
    "TrainingResult",
    "default_recipe",
    "documented_recipe",
    "evaluate",
    "find_recipe",
    "open_dataset",
    "sample_inputs",
    "train",
]
