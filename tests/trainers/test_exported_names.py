"""What `ptx.trainers` shows is held here: a change is meant."""

from __future__ import annotations

import ptx.trainers


def test_public_names() -> None:
    assert set(ptx.trainers.__all__) == {
        "PREVIOUS",
        "DATASETS",
        "LabelledPrediction",
        "Dataset",
        "Evaluation",
        "TrainingProgress",
        "Recipe",
        "Split",
        "TrainingResult",
        "predict_rows",
        "default_recipe",
        "documented_recipe",
        "has_data",
        "is_local",
        "labelled_test_rows",
        "open_model_data",
        "evaluate",
        "find_recipe",
        "previous_training",
        "model_inputs",
        "most_wrong",
        "open_dataset",
        "rank",
        "raw_examples",
        "sample_inputs",
        "train",
        "world_size",
    }
    assert all(hasattr(ptx.trainers, name) for name in ptx.trainers.__all__)
