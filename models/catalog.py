"""The catalog: every documented network, as plain Python data. Importing it loads nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ptx.models.reached import REACHED


@dataclass(frozen=True)
class Entry:
    """One documented network and how it is trained.

    Attributes:
        summary: What it computes, one line.
        source: Where it is taught.
        network: "module:class".
        config: Keyword arguments of the class.
        signature: See `ptx.infer.signature`.
        preprocessing: See `ptx.infer.preprocessing`.
        parameters: Trained numbers.
        task: A key of `ptx.infer.tasks.TASKS`.
        data: The documented data set, a source of `ptx.trainers.data`.
        recipe: The default one: fields of `ptx.trainers.recipe.Recipe`.
        recipes: Others, by name.
        reaches: On the test rows; measured, see docs/models.md.
        notes: Where the default recipe differs from the documented one, and why.
        labels: Of the documented data; training takes the data's own.
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
    reaches: str = ""
    notes: str = ""
    labels: tuple[str, ...] = ()

    def sized(self, labels: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Configuration and signature of the network for so many labels."""
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

_PICTURE = {"kind": "gray-image", "size": [28, 28], "resize_mode": "mnist"}
_NORMALISED = {**_PICTURE, "mean": 0.1307, "std": 0.3081}  # of the training images of MNIST

_NUMBER = {
    "inputs": {"x": ["float32", ["batch", 1]]},
    "outputs": {"y": ["float32", ["batch", 1]]},
}
_LOGITS = {"logits": ["float32", ["batch", 10]]}
_FLAT = {"inputs": {"image": ["float32", ["batch", 784]]}, "outputs": _LOGITS}
_LETTERS = {
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

# What entries of one source have in common.
_PERCEPTRON = "ptx.models.networks.perceptron:Perceptron"
_MNIST: dict[str, Any] = {"task": "classification", "data": "mnist", "labels": _DIGITS}
_MINI_MLP: dict[str, Any] = {
    **_MNIST,
    "network": _PERCEPTRON,
    "signature": _FLAT,
    "preprocessing": _PICTURE,
}
_MINI_CNN: dict[str, Any] = {
    **_MNIST,
    "config": {"classes": 10},
    "signature": _IMAGE,
    "preprocessing": _PICTURE,
}
_LECTURE: dict[str, Any] = {
    **_MNIST,
    "preprocessing": _NORMALISED,
    "recipe": {**_SGD, "momentum": 0.5, "batch_size": 64, "epochs": 10},
}
_LECTURE_CNN: dict[str, Any] = {**_LECTURE, "config": {"classes": 10}, "signature": _IMAGE}
_SPELLING: dict[str, Any] = {
    "preprocessing": {"kind": "char-indices", "alphabet": list(_HELLO)},
    "task": "sequence-labelling",
    "data": "hello",
    "labels": _HELLO,
}
_CELL: dict[str, Any] = {
    **_SPELLING,
    "config": {"symbols": 4},
    "signature": _LETTERS,
    "parameters": 40,
}

_AS_TYPED = {"shuffle": False, "max_pixel": 255}
_AS_TYPED_NOTE = (
    "Documented: pixels from 0 to 255, as the listing feeds them without its repository's loader, and"
    " rows in the order of the file. Here: pixels from 0 to 1, rows shuffled."
)
_CHOSEN_NOTE = (
    " The recipe `one-cycle` reaches more than the default one; its rate was chosen with"
    " `--data mnist-held-out`."
)

CATALOG = {
    "linear-regression": Entry(
        summary="a straight line through the origin",
        source=f"{_MINI}, 1: linear regression",
        network="ptx.models.networks.linear:LinearModel",
        config={"bias": False},
        signature=_NUMBER,
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
    "linear-model": Entry(
        summary="a straight line",
        source=f"{_LECTURES}, 5: linear regression with PyTorch",
        network="ptx.models.networks.linear:LinearModel",
        config={"bias": True},
        signature=_NUMBER,
        preprocessing={"kind": "tabular", "names": ["x"]},
        parameters=2,
        task="regression",
        data="three-points",
        recipe={"loss": "mse-sum", "optimizer": "sgd", "lr": 0.01, "batch_size": 3, "epochs": 100},
    ),
    "logistic-regression": Entry(
        summary="the probability of passing after so many hours of study",
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
    "diabetes": Entry(
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
        notes="Documented: SGD 0.01 on the raw columns, which stays at the share of the larger class."
        " Here: standardised columns and Adam at its default rate.",
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
    "softmax-regression": Entry(
        summary="one linear layer from pixels to digits",
        source=f"{_MINI}, 2: logistic regression",
        config={"inputs": 784, "hidden": [], "classes": 10, "bias": False},
        parameters=7_840,
        **_MINI_MLP,
        recipe={**_SGD_MINI, "epochs": 100},
        notes=_AS_TYPED_NOTE,
        recipes={"documented": {**_SGD_MINI, "epochs": 100, **_AS_TYPED}},
    ),
    "mlp": Entry(
        summary="a perceptron with two hidden layers",
        source=f"{_MINI}, 2 and 3, with two hidden layers of ReLU",
        config={"inputs": 784, "hidden": [128, 64], "classes": 10},
        parameters=109_386,
        **_MINI_MLP,
        recipe={**_SGD_MINI, "epochs": 100},
        notes=_AS_TYPED_NOTE,
        recipes={"documented": {**_SGD_MINI, "epochs": 100, **_AS_TYPED}},
    ),
    "sigmoid-mlp": Entry(
        summary="a perceptron with one wide hidden layer of sigmoids",
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
        notes=_AS_TYPED_NOTE + _CHOSEN_NOTE,
        recipes={
            "documented": {**_SGD_MINI, "epochs": 100, **_AS_TYPED},
            "one-cycle": {**_ONE_CYCLE, "lr": 0.02, "epochs": 20},
        },
    ),
    "dropout-mlp": Entry(
        summary="a perceptron with two wide hidden layers and dropout",
        source=f"{_MINI}, 4: modern neural net",
        config={"inputs": 784, "hidden": [512, 512], "classes": 10, "bias": False, "dropout": 0.2},
        parameters=668_672,
        **_MINI_MLP,
        recipe={**_ADAM_MINI, "epochs": 100},
        notes=_AS_TYPED_NOTE,
        recipes={"documented": {**_ADAM_MINI, "epochs": 100, **_AS_TYPED}},
    ),
    "deep-convnet": Entry(
        summary="two padded convolutions and a wide hidden layer",
        source="Keras-style ConvNet for MNIST, in PyTorch",
        network="ptx.models.networks.convnet:DeepConvNet",
        parameters=1_630_090,
        **_MINI_CNN,
        recipe={**_ADAM_MINI, "epochs": 10},
        notes="Documented: 100 epochs. Here: 10, which take minutes instead of hours.",
        recipes={"documented": {**_ADAM_MINI, "epochs": 100}},
    ),
    "convnet": Entry(
        summary="two convolutions with dropout",
        source=f"{_MINI}, 5: convolutional net",
        network="ptx.models.networks.convnet:ConvNet",
        parameters=21_840,
        **_MINI_CNN,
        recipe={**_SGD_MINI, "epochs": 20},
        notes=_AS_TYPED_NOTE + " The recipe `fast` is four epochs of Adam in batches of 256 under a"
        " one-cycle, without dropout.",
        recipes={
            "documented": {**_SGD_MINI, "epochs": 20, **_AS_TYPED},
            "fast": {**_ONE_CYCLE, "lr": 0.02, "epochs": 4, "dropout": False},
        },
    ),
    "lstm": Entry(
        summary="an LSTM that reads a picture row by row, time first",
        source=f"{_MINI}, 6: LSTM",
        network="ptx.models.networks.lstm:LSTMClassifier",
        config={"inputs": 28, "hidden": 128, "classes": 10},
        signature={
            "inputs": {"sequence": ["float32", ["time", "batch", 28]]},
            "outputs": _LOGITS,
        },
        preprocessing=_NORMALISED,
        parameters=82_176,
        **_MNIST,
        recipe={**_SGD_MINI, "epochs": 20},
        notes="Documented: pixels from 0 to 255, as the listing feeds them without its repository's"
        " loader, and rows in the order of the file. Here: normalised pixels, rows shuffled.",
        recipes={"documented": {**_SGD_MINI, "epochs": 20, **_AS_TYPED}},
    ),
    "neural-network": Entry(
        summary="a perceptron for pictures of clothes",
        source=_QUICKSTART,
        network=_PERCEPTRON,
        config={"inputs": 784, "hidden": [512, 512], "classes": 10},
        signature={"inputs": {"image": ["float32", ["batch", 28, 28]]}, "outputs": _LOGITS},
        preprocessing=_PICTURE,
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
    "softmax-mlp": Entry(
        summary="a perceptron with four hidden layers",
        source=f"{_LECTURES}, 9: softmax classifier",
        network=_PERCEPTRON,
        config={"inputs": 784, "hidden": [512, 256, 128, 64], "classes": 10},
        signature=_FLAT,
        parameters=575_050,
        **_LECTURE,
    ),
    "basic-cnn": Entry(
        summary="two convolutions and one linear layer",
        source=f"{_LECTURES}, 10: basic CNN",
        network="ptx.models.networks.convnet:BasicCNN",
        parameters=8_490,
        **_LECTURE_CNN,
    ),
    "inception": Entry(
        summary="convolutions of several widths side by side",
        source=f"{_LECTURES}, 11: advanced CNN",
        network="ptx.models.networks.inception:Inception",
        parameters=97_298,
        **_LECTURE_CNN,
        notes=_CHOSEN_NOTE.strip(),
        recipes={"one-cycle": {**_ONE_CYCLE, "lr": 0.005, "epochs": 5}},
    ),
    "residual-net": Entry(
        summary="convolutions whose result is added to their input",
        source=f"{_LECTURES}, 11: advanced CNN",
        network="ptx.models.networks.residual_net:ResidualNet",
        parameters=41_514,
        **_LECTURE_CNN,
        notes=_CHOSEN_NOTE.strip(),
        recipes={"one-cycle": {**_ONE_CYCLE, "lr": 0.01, "epochs": 5}},
    ),
    "char-rnn-cell": Entry(
        summary="one recurrent cell that spells a word from another",
        source=f"{_LECTURES}, 12: basic RNN, RNNCell",
        network="ptx.models.networks.char_rnn:CharRNNCell",
        **_CELL,
        recipe={**_ADAM, "lr": 0.1, "weight_decay": 0.01, "batch_size": 1, "epochs": 100},
        notes="Documented: 15 epochs without weight decay, after which some seeds spell another word."
        " Here: weight decay 0.01 and 100 epochs.",
        recipes={"documented": {**_ADAM, "lr": 0.1, "batch_size": 1, "epochs": 15}},
    ),
    "char-rnn": Entry(
        summary="a recurrent layer that spells a word from another",
        source=f"{_LECTURES}, 12: basic RNN, RNN",
        network="ptx.models.networks.char_rnn:CharRNN",
        **_CELL,
        recipe={**_ADAM, "lr": 0.05, "weight_decay": 0.01, "batch_size": 1, "epochs": 100},
        notes="Documented: 15 epochs without weight decay, after which some seeds spell another word."
        " Here: weight decay 0.01 and 100 epochs.",
        recipes={"documented": {**_ADAM, "lr": 0.05, "batch_size": 1, "epochs": 15}},
    ),
    "char-rnn-embedding": Entry(
        summary="an embedding and two recurrent layers that spell a word from another",
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
        notes="Documented: 15 epochs. Here: 100.",
        recipes={"documented": {**_ADAM, "lr": 0.05, "batch_size": 1, "epochs": 15}},
    ),
    "name-classifier": Entry(
        summary="the language of a surname, read in both directions",
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
        notes="Documented: 100 epochs. Here: 20. The test has no name that the training has; rows of"
        " one name in two languages stay together, of which at most one language can be right.",
        recipes={"documented": {**_ADAM, "batch_size": 256, "epochs": 100}},
    ),
}
"""The documented networks by the name that `build` and the command line take."""

for _name, _reached in REACHED.items():
    CATALOG[_name] = replace(CATALOG[_name], reaches=_reached)
