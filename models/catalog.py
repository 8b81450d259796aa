"""The catalog: every documented network, as plain Python data. Importing it loads nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ptx.models.benchmark_results import BENCHMARK_RESULTS


@dataclass(frozen=True)
class ModelEntry:
    """One documented network and how it is trained.

    Attributes:
        summary: One line.
        source: The tutorial that documents it.
        network: "module:class".
        config: Keyword arguments of the class.
        signature: See `ptx.infer.signature`.
        preprocessing: See `ptx.infer.preprocessing`.
        parameters: The number of trained parameters.
        task: A key of `ptx.infer.tasks.TASKS`.
        data: The documented data set, a key of `ptx.trainers.DATASETS`.
        recipe: The default recipe: fields of `ptx.trainers.Recipe`.
        recipes: Other recipes by name.
        results: The metrics measured on the test rows; see docs/reference/models.md.
        notes: How and why the default recipe differs from the documented one.
        labels: The labels of the documented data; training takes those of its data.
    """

    summary: str
    source: str
    network: str
    config: Mapping[str, Any]
    signature: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    parameters: int
    task: str
    data: str
    recipe: Mapping[str, Any]
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    results: str = ""
    notes: str = ""
    labels: tuple[str, ...] = ()

    def sized(self, labels: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Configuration and signature of the network for this number of labels."""
        config, signature = dict(self.config), dict(self.signature)
        if labels != len(self.labels):
            config["classes"] = labels
            (name, (dtype, axes)), *_ = self.signature["outputs"].items()
            signature["outputs"] = {name: [dtype, [*axes[:-1], labels]]}
        return config, signature


_MINI = "PyTorch Mini Tutorials (V. Khuc)"
_LECTURES = "《PyTorch深度学习实践》 (Liu Er)"
_QUICKSTART = "PyTorch Tutorials, Quickstart"

_DIGITS = tuple("0123456789")
_LANGUAGES = (
    "Arabic",
    "Chinese",
    "Czech",
    "Dutch",
    "English",
    "French",
    "German",
    "Greek",
    "Irish",
    "Italian",
    "Japanese",
    "Korean",
    "Polish",
    "Portuguese",
    "Russian",
    "Scottish",
    "Spanish",
    "Vietnamese",
)
_HELLO = ("e", "h", "l", "o")

_PIXELS = {"kind": "gray-image", "size": [28, 28], "resize_mode": "mnist"}
# Mean and standard deviation of the training images of MNIST.
_NORMALIZED_PIXELS = {**_PIXELS, "mean": 0.1307, "std": 0.3081}

_SCALAR = {
    "inputs": {"x": ["float32", ["batch", 1]]},
    "outputs": {"y": ["float32", ["batch", 1]]},
}
_LOGITS = {"logits": ["float32", ["batch", 10]]}
_FLAT_IMAGE = {"inputs": {"image": ["float32", ["batch", 784]]}, "outputs": _LOGITS}
_ONE_HOT_LETTERS = {
    "inputs": {"sequence": ["float32", ["time", "batch", 4]]},
    "outputs": {"logits": ["float32", ["time", "batch", 4]]},
}
_IMAGE = {"inputs": {"image": ["float32", ["batch", 1, 28, 28]]}, "outputs": _LOGITS}

_SGD = {"loss": "cross-entropy", "optimizer": "sgd", "lr": 0.01}
_ADAM = {"loss": "cross-entropy", "optimizer": "adam", "lr": 0.001}
_SGD_MINI = {**_SGD, "momentum": 0.9, "batch_size": 100}
_ADAM_MINI = {**_ADAM, "batch_size": 100}
_ONE_CYCLE = {
    "loss": "cross-entropy",
    "optimizer": "adam",
    "batch_size": 256,
    "schedule": "one-cycle",
}

# Common to the entries of one source.
_PERCEPTRON = "ptx.models.networks.perceptron:Perceptron"
_MNIST: dict[str, Any] = {"task": "classification", "data": "mnist", "labels": _DIGITS}
_MINI_MLP: dict[str, Any] = {
    **_MNIST,
    "network": _PERCEPTRON,
    "signature": _FLAT_IMAGE,
    "preprocessing": _PIXELS,
}
_MINI_CNN: dict[str, Any] = {
    **_MNIST,
    "config": {"classes": 10},
    "signature": _IMAGE,
    "preprocessing": _PIXELS,
}
_LECTURE: dict[str, Any] = {
    **_MNIST,
    "preprocessing": _NORMALIZED_PIXELS,
    "recipe": {**_SGD, "momentum": 0.5, "batch_size": 64, "epochs": 10},
}
_LECTURE_CNN: dict[str, Any] = {**_LECTURE, "config": {"classes": 10}, "signature": _IMAGE}
_SPELLING: dict[str, Any] = {
    "preprocessing": {"kind": "char-indices", "alphabet": list(_HELLO)},
    "task": "sequence-labeling",
    "data": "hello",
    "labels": _HELLO,
}
_CELL: dict[str, Any] = {
    **_SPELLING,
    "config": {"symbols": 4},
    "signature": _ONE_HOT_LETTERS,
    "parameters": 40,
}

_PUBLISHED = {"shuffle": False, "max_pixel": 255}
_ONE_CYCLE_NOTE = "The learning rate of `one-cycle` was chosen with `--data mnist-validation`."

CATALOG = {
    "linear-regression": ModelEntry(
        summary="a straight line through the origin",
        source=f"{_MINI}, 1: linear regression",
        network="ptx.models.networks.linear:LinearModel",
        config={"bias": False},
        signature=_SCALAR,
        preprocessing={"kind": "tabular", "names": ["x"]},
        parameters=1,
        task="regression",
        data="line",
        recipe={
            "loss": "mse-mean",
            "optimizer": "sgd",
            "lr": 0.01,
            "momentum": 0.9,
            "batch_size": 10,
            "epochs": 100,
            "shuffle": False,
            "drop_last": True,
        },
    ),
    "linear-model": ModelEntry(
        summary="a straight line",
        source=f"{_LECTURES}, 5: linear regression with PyTorch",
        network="ptx.models.networks.linear:LinearModel",
        config={"bias": True},
        signature=_SCALAR,
        preprocessing={"kind": "tabular", "names": ["x"]},
        parameters=2,
        task="regression",
        data="three-points",
        recipe={"loss": "mse-sum", "optimizer": "sgd", "lr": 0.01, "batch_size": 3, "epochs": 100},
    ),
    "logistic-regression": ModelEntry(
        summary="the probability of passing an exam, from the hours of study",
        source=f"{_LECTURES}, 6: logistic regression",
        network="ptx.models.networks.linear:LogisticRegression",
        config={},
        signature={
            "inputs": {"hours": ["float32", ["batch", 1]]},
            "outputs": {"probability": ["float32", ["batch", 1]]},
        },
        preprocessing={"kind": "tabular", "names": ["hours"]},
        parameters=2,
        task="binary",
        data="hours",
        labels=("fail", "pass"),
        recipe={"loss": "bce-sum", "optimizer": "sgd", "lr": 0.01, "batch_size": 3, "epochs": 1000},
    ),
    "diabetes": ModelEntry(
        summary="the probability of diabetes from eight measurements",
        source=f"{_LECTURES}, 7: multiple dimension input",
        network=_PERCEPTRON,
        config={
            "inputs": 8,
            "hidden": [6, 4],
            "classes": 1,
            "activation": "sigmoid",
            "probability": True,
        },
        signature={
            "inputs": {"measurements": ["float32", ["batch", 8]]},
            "outputs": {"probability": ["float32", ["batch", 1]]},
        },
        preprocessing={
            "kind": "tabular",
            "names": [
                "pregnancies",
                "glucose",
                "blood pressure",
                "skin thickness",
                "insulin",
                "body mass index",
                "pedigree",
                "age",
            ],
        },
        parameters=87,
        task="binary",
        data="diabetes",
        labels=("no diabetes", "diabetes"),
        recipe={
            "loss": "bce-mean",
            "optimizer": "adam",
            "lr": 0.001,
            "batch_size": 32,
            "epochs": 100,
            "standardise": True,
        },
        notes="The documented recipe trains on raw columns and predicts only the larger class.",
        recipes={
            "documented": {
                "loss": "bce-mean",
                "optimizer": "sgd",
                "lr": 0.01,
                "batch_size": 32,
                "epochs": 100,
            },
        },
    ),
    "softmax-regression": ModelEntry(
        summary="one linear layer from pixels to digits",
        source=f"{_MINI}, 2: logistic regression",
        config={"inputs": 784, "hidden": [], "classes": 10, "bias": False},
        parameters=7_840,
        **_MINI_MLP,
        recipe={**_SGD_MINI, "epochs": 100},
        recipes={"documented": {**_SGD_MINI, "epochs": 100, **_PUBLISHED}},
    ),
    "mlp": ModelEntry(
        summary="a perceptron with two hidden layers",
        source=f"{_MINI}, 2 and 3, with two hidden layers and ReLU activation",
        config={"inputs": 784, "hidden": [128, 64], "classes": 10},
        parameters=109_386,
        **_MINI_MLP,
        recipe={**_SGD_MINI, "epochs": 100},
        recipes={"documented": {**_SGD_MINI, "epochs": 100, **_PUBLISHED}},
    ),
    "sigmoid-mlp": ModelEntry(
        summary="a perceptron with one wide hidden layer and sigmoid activation",
        source=f"{_MINI}, 3: neural net",
        config={
            "inputs": 784,
            "hidden": [512],
            "classes": 10,
            "activation": "sigmoid",
            "bias": False,
        },
        parameters=406_528,
        **_MINI_MLP,
        recipe={**_SGD_MINI, "epochs": 100},
        notes=_ONE_CYCLE_NOTE,
        recipes={
            "documented": {**_SGD_MINI, "epochs": 100, **_PUBLISHED},
            "one-cycle": {**_ONE_CYCLE, "lr": 0.02, "epochs": 20},
        },
    ),
    "dropout-mlp": ModelEntry(
        summary="a perceptron with two wide hidden layers and dropout",
        source=f"{_MINI}, 4: modern neural net",
        config={"inputs": 784, "hidden": [512, 512], "classes": 10, "bias": False, "dropout": 0.2},
        parameters=668_672,
        **_MINI_MLP,
        recipe={**_ADAM_MINI, "epochs": 100},
        recipes={"documented": {**_ADAM_MINI, "epochs": 100, **_PUBLISHED}},
    ),
    "deep-convnet": ModelEntry(
        summary="two padded convolutions and a wide hidden layer",
        source="Keras-style ConvNet for MNIST, in PyTorch",
        network="ptx.models.networks.convnet:DeepConvNet",
        parameters=1_630_090,
        **_MINI_CNN,
        recipe={**_ADAM_MINI, "epochs": 10},
        notes="The documented 100 epochs take hours.",
        recipes={"documented": {**_ADAM_MINI, "epochs": 100}},
    ),
    "convnet": ModelEntry(
        summary="two convolutions with dropout",
        source=f"{_MINI}, 5: convolutional net",
        network="ptx.models.networks.convnet:ConvNet",
        parameters=21_840,
        **_MINI_CNN,
        recipe={**_SGD_MINI, "epochs": 20},
        recipes={
            "documented": {**_SGD_MINI, "epochs": 20, **_PUBLISHED},
            "fast": {**_ONE_CYCLE, "lr": 0.02, "epochs": 4, "dropout": False},
        },
    ),
    "lstm": ModelEntry(
        summary="an LSTM that reads an image row by row",
        source=f"{_MINI}, 6: LSTM",
        network="ptx.models.networks.lstm:LSTMClassifier",
        config={"inputs": 28, "hidden": 128, "classes": 10},
        signature={
            "inputs": {"sequence": ["float32", ["time", "batch", 28]]},
            "outputs": _LOGITS,
        },
        preprocessing=_NORMALIZED_PIXELS,
        parameters=82_176,
        **_MNIST,
        recipe={**_SGD_MINI, "epochs": 20},
        recipes={"documented": {**_SGD_MINI, "epochs": 20, **_PUBLISHED}},
    ),
    "neural-network": ModelEntry(
        summary="a perceptron for images of clothes",
        source=_QUICKSTART,
        network=_PERCEPTRON,
        config={"inputs": 784, "hidden": [512, 512], "classes": 10},
        signature={"inputs": {"image": ["float32", ["batch", 28, 28]]}, "outputs": _LOGITS},
        preprocessing=_PIXELS,
        parameters=669_706,
        task="classification",
        data="fashion-mnist",
        labels=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        recipe={**_ADAM, "batch_size": 64, "epochs": 10},
    ),
    "softmax-mlp": ModelEntry(
        summary="a perceptron with four hidden layers",
        source=f"{_LECTURES}, 9: softmax classifier",
        network=_PERCEPTRON,
        config={"inputs": 784, "hidden": [512, 256, 128, 64], "classes": 10},
        signature=_FLAT_IMAGE,
        parameters=575_050,
        **_LECTURE,
    ),
    "basic-cnn": ModelEntry(
        summary="two convolutions and one linear layer",
        source=f"{_LECTURES}, 10: basic CNN",
        network="ptx.models.networks.convnet:BasicCNN",
        parameters=8_490,
        **_LECTURE_CNN,
    ),
    "inception": ModelEntry(
        summary="Inception blocks: parallel convolutions of several sizes",
        source=f"{_LECTURES}, 11: advanced CNN",
        network="ptx.models.networks.inception:Inception",
        parameters=97_298,
        **_LECTURE_CNN,
        notes=_ONE_CYCLE_NOTE,
        recipes={"one-cycle": {**_ONE_CYCLE, "lr": 0.005, "epochs": 5}},
    ),
    "residual-net": ModelEntry(
        summary="residual blocks: convolutions with a skip connection",
        source=f"{_LECTURES}, 11: advanced CNN",
        network="ptx.models.networks.residual_net:ResidualNet",
        parameters=41_514,
        **_LECTURE_CNN,
        notes=_ONE_CYCLE_NOTE,
        recipes={"one-cycle": {**_ONE_CYCLE, "lr": 0.01, "epochs": 5}},
    ),
    "char-rnn-cell": ModelEntry(
        summary="one recurrent cell that maps a word to another, character by character",
        source=f"{_LECTURES}, 12: basic RNN, RNNCell",
        network="ptx.models.networks.char_rnn:CharRNNCell",
        **_CELL,
        recipe={**_ADAM, "lr": 0.1, "weight_decay": 0.01, "batch_size": 1, "epochs": 100},
        notes="The documented 15 epochs are too few for some seeds.",
        recipes={"documented": {**_ADAM, "lr": 0.1, "batch_size": 1, "epochs": 15}},
    ),
    "char-rnn": ModelEntry(
        summary="a recurrent layer that maps a word to another, character by character",
        source=f"{_LECTURES}, 12: basic RNN, RNN",
        network="ptx.models.networks.char_rnn:CharRNN",
        **_CELL,
        recipe={**_ADAM, "lr": 0.05, "weight_decay": 0.01, "batch_size": 1, "epochs": 100},
        notes="The documented 15 epochs are too few for some seeds.",
        recipes={"documented": {**_ADAM, "lr": 0.05, "batch_size": 1, "epochs": 15}},
    ),
    "char-rnn-embedding": ModelEntry(
        summary="an embedding and two recurrent layers that map a word to another",
        source=f"{_LECTURES}, 12: basic RNN, embedding",
        network="ptx.models.networks.char_rnn:CharRNNEmbedding",
        config={"symbols": 4, "embedding": 10, "hidden": 8, "layers": 2},
        signature={
            "inputs": {"tokens": ["int64", ["batch", "time"], [0, 3]]},
            "outputs": {"logits": ["float32", ["batch", "time", 4]]},
        },
        parameters=380,
        **_SPELLING,
        recipe={**_ADAM, "lr": 0.05, "batch_size": 1, "epochs": 100},
        recipes={"documented": {**_ADAM, "lr": 0.05, "batch_size": 1, "epochs": 15}},
    ),
    "name-classifier": ModelEntry(
        summary="the language of a surname, by a bidirectional GRU",
        source=f"{_LECTURES}, 13: RNN classifier",
        network="ptx.models.networks.name_classifier:NameClassifier",
        config={"characters": 128, "hidden": 100, "layers": 2, "classes": 18},
        signature={
            "inputs": {
                "characters": ["int64", ["batch", "time"], [0, 127]],
                "lengths": ["int64", ["batch"], [1, "time"]],
            },
            "outputs": {"logits": ["float32", ["batch", 18]]},
        },
        preprocessing={"kind": "char-codes", "normalise": "NFKD", "unknown": 1, "padding": 0},
        parameters=318_818,
        task="classification",
        data="names",
        labels=_LANGUAGES,
        recipe={**_ADAM, "batch_size": 256, "epochs": 20},
        notes="No test name is a training name. All rows of a name that occurs in several languages are"
        " in one split; at most one of them can be right.",
        recipes={"documented": {**_ADAM, "batch_size": 256, "epochs": 100}},
    ),
}
"""The documented networks by the name that `build` and the command line take."""

for _name, _results in BENCHMARK_RESULTS.items():
    CATALOG[_name] = replace(CATALOG[_name], results=_results)
