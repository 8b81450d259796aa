"""ptx.trainers: data sets, recipes, training and evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.infer.backends.threads import set_openmp_wait_policy
from ptx.infer.lazy import lazy_exports

set_openmp_wait_policy()  # before torch is imported

if TYPE_CHECKING:
    from ptx.trainers.data import DATASETS as DATASETS
    from ptx.trainers.data import Dataset as Dataset
    from ptx.trainers.data import Split as Split
    from ptx.trainers.data import open_dataset as open_dataset
    from ptx.trainers.evaluation import Evaluation as Evaluation
    from ptx.trainers.evaluation import LabelledPrediction as LabelledPrediction
    from ptx.trainers.evaluation import evaluate as evaluate
    from ptx.trainers.evaluation import model_inputs as model_inputs
    from ptx.trainers.evaluation import most_wrong as most_wrong
    from ptx.trainers.evaluation import predict_rows as predict_rows
    from ptx.trainers.loop import TrainingProgress as TrainingProgress
    from ptx.trainers.model_data import has_data as has_data
    from ptx.trainers.model_data import is_local as is_local
    from ptx.trainers.model_data import labelled_test_rows as labelled_test_rows
    from ptx.trainers.model_data import open_model_data as open_model_data
    from ptx.trainers.processes import rank as rank
    from ptx.trainers.processes import world_size as world_size
    from ptx.trainers.recipe import Recipe as Recipe
    from ptx.trainers.recipe import default_recipe as default_recipe
    from ptx.trainers.recipe import documented_recipe as documented_recipe
    from ptx.trainers.recipe import find_recipe as find_recipe
    from ptx.trainers.samples import raw_examples as raw_examples
    from ptx.trainers.samples import sample_inputs as sample_inputs
    from ptx.trainers.trainer import PREVIOUS as PREVIOUS
    from ptx.trainers.training import TrainingResult as TrainingResult
    from ptx.trainers.training import previous_training as previous_training
    from ptx.trainers.training import train as train

    __all__: list[str]
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "data": "DATASETS Dataset Split open_dataset",
            "evaluation": "LabelledPrediction Evaluation predict_rows evaluate model_inputs most_wrong",
            "loop": "TrainingProgress",
            "model_data": "has_data is_local labelled_test_rows open_model_data",
            "processes": "rank world_size",
            "recipe": "Recipe default_recipe documented_recipe find_recipe",
            "samples": "raw_examples sample_inputs",
            "trainer": "PREVIOUS",
            "training": "TrainingResult previous_training train",
        },
    )
