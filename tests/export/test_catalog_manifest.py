"""What is stated about a bare state dict, and what is assumed where nothing is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ptx.export.catalog_manifest import catalog_manifest
from ptx.infer import InputError, UsageError
from ptx.infer.external.spec import ModelSpec
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.signature import Array
from ptx.models import CATALOG

DIGITS = "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, in this order"


def spec(**data: Any) -> ModelSpec:
    return ModelSpec.from_data(data)


def pixels(model: str, overrides: ModelSpec) -> Array:
    """float32 (256,): what the network is given for each pixel."""
    manifest = catalog_manifest(model, overrides)
    opened: Any = open_preprocessing(manifest.preprocessing, manifest.signature)
    table: Array = opened.lookup_table
    return table


@pytest.mark.parametrize(
    ("model", "preprocessing"),
    [
        ("convnet", "pixels scaled to [0, 1]"),
        ("lstm", "pixels scaled to [0, 1], less 0.1307, divided by 0.3081"),
    ],
)
def test_what_nobody_states_is_assumed_and_named(model: str, preprocessing: str) -> None:
    manifest = catalog_manifest(model, ModelSpec())
    assert manifest.training == {"assumed": {"preprocessing": preprocessing, "labels": DIGITS}}
    assert manifest.preprocessing == CATALOG[model].preprocessing
    assert manifest.labels == CATALOG[model].labels


@pytest.mark.parametrize("model", CATALOG)
def test_every_model_has_a_manifest_without_a_stated(model: str) -> None:
    manifest = catalog_manifest(model, ModelSpec())
    assert manifest.training["assumed"]["preprocessing"]
    assert ("labels" in manifest.training["assumed"]) == bool(CATALOG[model].labels)
    assert manifest.config == CATALOG[model].config


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (ModelSpec(scale=255), np.arange(256)),
        (ModelSpec(scale=1), np.arange(256) / 255),
        (ModelSpec(mean=(0.5,), std=(0.25,)), (np.arange(256) / 255 - 0.5) / 0.25),
        (ModelSpec(scale=255, mean=(33,), std=(78,)), (np.arange(256) - 33) / 78),
    ],
)
@pytest.mark.parametrize("model", ["convnet", "lstm"])
def test_mean_std_and_scale_are_those_of_the_training(
    model: str, overrides: ModelSpec, expected: Array
) -> None:
    np.testing.assert_allclose(pixels(model, overrides), expected, rtol=2e-6, atol=1e-6)
    assert set(catalog_manifest(model, overrides).training["assumed"]) == {"labels"}


def test_columns_have_a_mean_and_std_each() -> None:
    mean, std = tuple(range(8)), (2.0,) * 8
    manifest = catalog_manifest("diabetes", ModelSpec(mean=mean, std=std))
    assert manifest.preprocessing["mean"] == list(mean)
    assert set(manifest.training["assumed"]) == {"labels"}


def test_labels_are_stated_in_the_order_of_the_outputs() -> None:
    labels = tuple("9876543210")
    manifest = catalog_manifest("convnet", ModelSpec(labels=labels))
    assert manifest.labels == labels
    assert set(manifest.training["assumed"]) == {"preprocessing"}


def test_a_classifier_is_as_wide_as_there_are_labels() -> None:
    manifest = catalog_manifest("convnet", ModelSpec(labels=("cat", "dog", "owl")))
    assert manifest.config["classes"] == 3
    assert manifest.signature.outputs[0].axes == ("batch", 3)


def test_a_description_states_preprocess_and_labels() -> None:
    preprocessing = {"kind": "gray-image", "size": [28, 28], "resize_mode": "letterbox"}
    overrides = spec(preprocessing=preprocessing, labels=list("abcdefghij"), name="convnet")
    manifest = catalog_manifest("convnet", overrides)
    assert manifest.preprocessing == preprocessing
    assert manifest.labels == tuple("abcdefghij")
    assert manifest.training == {"assumed": {}}


IMAGE = {"kind": "gray-image", "size": [28, 28], "resize_mode": "mnist"}


@pytest.mark.parametrize(
    ("model", "overrides", "error", "message"),
    [
        ("convet", ModelSpec(), UsageError, "no model 'convet'; did you mean 'convnet'"),
        ("convnet", ModelSpec(mean=(0.5,)), UsageError, "mean and std belong together"),
        ("convnet", ModelSpec(scale=0), UsageError, "scale is 0; expected a number from 1e-09"),
        ("convnet", ModelSpec(scale=float("nan")), UsageError, "scale is nan; expected"),
        (
            "convnet",
            ModelSpec(mean=(0.1,), std=(0,)),
            UsageError,
            "std is 0; expected a number from",
        ),
        ("convnet", ModelSpec(mean=(1e18,), std=(1,)), UsageError, "mean is 1e.18; expected a"),
        (
            "convnet",
            ModelSpec(mean=(0.1,) * 3, std=(1,) * 3),
            InputError,
            "preprocessing .*not|must be",
        ),
        ("diabetes", ModelSpec(scale=255), UsageError, "scale is only for images; .* columns"),
        ("diabetes", ModelSpec(mean=(1,), std=(1,)), InputError, "one number per column"),
        ("name-classifier", ModelSpec(scale=255), UsageError, "name-classifier takes text"),
        (
            "linear-model",
            ModelSpec(labels=("a",)),
            UsageError,
            "predicts a number, so it has no labels",
        ),
        ("logistic-regression", ModelSpec(labels=("a", "b", "c")), InputError, "labels are 3"),
        ("convnet", spec(name="mine"), UsageError, "name differs from that of the cat"),
        ("convnet", spec(task="passthrough"), UsageError, "task differs from that of the"),
        (
            "convnet",
            spec(inputs={"x": ["float32", ["batch", 3]]}),
            UsageError,
            "inputs differs from that of the catalog's convnet; for a bare state dict only",
        ),
        (
            "convnet",
            replace(spec(preprocessing=IMAGE), scale=255),
            UsageError,
            "with the spec's preprocessing",
        ),
        (
            "convnet",
            spec(preprocessing={**IMAGE, "size": [9, 9]}),
            InputError,
            "9×9",
        ),
    ],
)
def test_overrides_that_do_not_fit_the_model_are_refused(
    model: str, overrides: ModelSpec, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        catalog_manifest(model, overrides)
