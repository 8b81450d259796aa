"""The catalog against the documentation of its networks; its recipes are in test_default_recipes."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.signature import Signature
from ptx.infer.tasks import TASKS
from ptx.models import CATALOG, build
from ptx.trainers import default_recipe
from ptx.trainers.data import DATASETS, open_dataset
from ptx.trainers.data.mnist import FASHION
from ptx.trainers.recipe import LOSSES

SIZES = {"batch": 5, "time": 7}

# Parameters, and the outputs' shape at SIZES, worked out by hand from the documented layers.
DOCUMENTED = {
    "linear-regression": (1, (5, 1)),
    "linear-model": (1 + 1, (5, 1)),
    "logistic-regression": (1 + 1, (5, 1)),
    "diabetes": ((8 * 6 + 6) + (6 * 4 + 4) + (4 + 1), (5, 1)),
    "softmax-regression": (784 * 10, (5, 10)),
    "mlp": ((784 * 128 + 128) + (128 * 64 + 64) + (64 * 10 + 10), (5, 10)),
    "sigmoid-mlp": (784 * 512 + 512 * 10, (5, 10)),
    "dropout-mlp": (784 * 512 + 512 * 512 + 512 * 10, (5, 10)),
    "deep-convnet": (
        (9 * 32 + 32) + (32 * 9 * 64 + 64) + (3136 * 512 + 512) + (512 * 10 + 10),
        (5, 10),
    ),
    "convnet": (
        (25 * 10 + 10) + (10 * 25 * 20 + 20) + (320 * 50 + 50) + (50 * 10 + 10),
        (5, 10),
    ),
    "lstm": (4 * 128 * (28 + 128 + 2) + 128 * 10, (5, 10)),
    "neural-network": ((784 * 512 + 512) + (512 * 512 + 512) + (512 * 10 + 10), (5, 10)),
    "softmax-mlp": (
        (784 * 512 + 512) + (512 * 256 + 256) + (256 * 128 + 128) + (128 * 64 + 64) + 650,
        (5, 10),
    ),
    "basic-cnn": ((25 * 10 + 10) + (10 * 25 * 20 + 20) + (320 * 10 + 10), (5, 10)),
    "inception": (97_298, (5, 10)),
    "residual-net": (
        (25 * 16 + 16)
        + 2 * (16 * 9 * 16 + 16)
        + (16 * 25 * 32 + 32)
        + 2 * (32 * 9 * 32 + 32)
        + (512 * 10 + 10),
        (5, 10),
    ),
    "char-rnn-cell": (4 * 4 + 4 * 4 + 4 + 4, (7, 5, 4)),
    "char-rnn": (4 * 4 + 4 * 4 + 4 + 4, (7, 5, 4)),
    "char-rnn-embedding": (
        4 * 10 + 8 * (10 + 8 + 2) + 8 * (8 + 8 + 2) + (8 * 4 + 4),
        (5, 7, 4),
    ),
    "name-classifier": (
        128 * 100 + 2 * 300 * (100 + 100 + 2) + 2 * 300 * (200 + 100 + 2) + (200 * 18 + 18),
        (5, 18),
    ),
}

LABELS = {"regression": 0, "binary": 2}  # of the tasks whose output does not say how many


def example(model: str) -> list[torch.Tensor]:
    signature = Signature.from_data(CATALOG[model].signature)
    return [torch.from_numpy(array) for array in signature.example(SIZES).values()]


def test_the_catalog_lists_the_documented_networks() -> None:
    assert set(CATALOG) == set(DOCUMENTED)


@pytest.mark.parametrize("model", CATALOG)
def test_a_network_has_the_documented_parameters_and_shape(model: str) -> None:
    parameters, shape = DOCUMENTED[model]
    network = build(model).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert CATALOG[model].parameters == parameters
    with torch.no_grad():
        output = network(*example(model))
    assert output.shape == shape
    assert output.dtype == torch.float32


@pytest.mark.parametrize("model", CATALOG)
def test_the_signature_is_that_of_the_forward_method(model: str) -> None:
    entry = CATALOG[model]
    signature = Signature.from_data(entry.signature)
    assert signature.to_data() == entry.signature
    taken = list(inspect.signature(build(model).forward).parameters)
    assert len(taken) == len(signature.inputs)
    if len(taken) > 1:  # then the order decides which is which
        assert taken == [spec.name for spec in signature.inputs]
    with torch.no_grad():
        output = build(model).eval()(*example(model))
    (expected,) = signature.outputs
    assert tuple(output.shape) == expected.shape(SIZES)


@pytest.mark.parametrize("model", CATALOG)
def test_preprocessing_task_data_and_recipe_are_known(model: str) -> None:
    entry = CATALOG[model]
    open_preprocessing(entry.preprocessing, Signature.from_data(entry.signature))
    assert entry.task in TASKS
    assert entry.data in DATASETS
    assert default_recipe(model).loss in LOSSES
    assert entry.summary
    assert entry.source


@pytest.mark.parametrize("model", CATALOG)
def test_the_labels_are_those_of_the_data(model: str) -> None:
    entry = CATALOG[model]
    if entry.data == "fashion-mnist":  # lies outside the package
        assert entry.labels == FASHION.labels
    else:
        data = open_dataset("bundled", default=entry.data, cache=Path("nowhere"))
        assert entry.labels == data.labels


@pytest.mark.parametrize("model", CATALOG)
def test_there_is_a_label_for_each_class(model: str) -> None:
    entry = CATALOG[model]
    (output,) = Signature.from_data(entry.signature).outputs
    assert len(entry.labels) == LABELS.get(entry.task, output.axes[-1])
    assert len(set(entry.labels)) == len(entry.labels)
    if "classes" in entry.config and entry.task == "classification":
        assert entry.config["classes"] == len(entry.labels)


@pytest.mark.parametrize("model", CATALOG)
def test_the_class_exists_and_says_what_it_computes(model: str) -> None:
    module, _, attribute = CATALOG[model].network.partition(":")
    network = getattr(importlib.import_module(module), attribute)
    assert issubclass(network, nn.Module)
    assert ">>> " in (network.__doc__ or "")


def test_build_takes_another_configuration() -> None:
    assert build("convnet", {"classes": 3})(torch.zeros(2, 1, 28, 28)).shape == (2, 3)


def test_build_names_the_models_that_there_are() -> None:
    with pytest.raises(KeyError, match=r"the catalog has no model 'convet'; known: .*convnet"):
        build("convet")


def test_importing_the_catalog_loads_nothing_heavy() -> None:
    code = (
        "import sys, ptx.models; ptx.models.CATALOG['lstm'];"
        "print(sorted({'torch', 'numpy', 'onnx', 'onnxruntime', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
