"""The injected faults, and what must come out of export, verify, compare and evaluate."""

from __future__ import annotations

import numpy as np
import torch

from . import data, graphs, manifests, networks
from .fault import Fault
from .injections import Beside, Both, Damaged, Data, Network, Stated, converted, graph, preprocessed

_FLAT, _WARD, _ROWS, _NAMES, _WORD, _LINES = (
    "softmax-regression",
    "ward",
    "diabetes",
    "name-classifier",
    "char-rnn",
    "lstm",
)
_TRACE = {"format": "torchscript"}
_LOST = "the predictions are right; only the evidence is gone"
_FILE = "the command does not read it"
_SIZE = "that size gives no prediction, and the others are right"
_NOT_ASKED = "nothing is measured on that data"

FAULTS = (
    # The network
    Fault(
        "dropout in forward",
        _WARD,
        Network(networks.logits(lambda y: torch.nn.functional.dropout(y, 0.3))),
        compare="refused",
        **_TRACE,
    ),
    Fault(
        "noise in forward",
        _WARD,
        Network(networks.logits(lambda y: y + 1e-3 * torch.randn_like(y))),
        **_TRACE,
    ),
    Fault(
        "a mean over the batch", _WARD, Network(networks.logits(lambda y: y - y.mean(0))), **_TRACE
    ),
    Fault(
        "batch normalisation in training mode",
        _WARD,
        Network(networks.in_training),
        compare="refused",
        **_TRACE,
    ),
    Fault("a state from call to call", _WARD, Network(networks.Counting), **_TRACE),
    Fault(
        "a difference of large numbers",
        _WARD,
        Network(networks.logits(lambda y: (y + 1e6) - 1e6)),
        **_TRACE,
    ),
    Fault(
        "NaN at one batch size",
        _WARD,
        Network(networks.logits(networks.without_two)),
        verify="right",
        compare="right",
        evaluate="right",
        why=_SIZE,
        **_TRACE,
    ),
    Fault(
        "works in place on its input",
        _WARD,
        Network(networks.Spoiling),
        "right",
        "right",
        "right",
        "right",
        "every backend gives it a copy",
        **_TRACE,
    ),
    Fault(
        "constants of the CPU in forward",
        _WARD,
        Network(networks.logits(networks.on_the_cpu)),
        "right",
        "right",
        "right",
        "right",
        "on another device it is an error",
        **_TRACE,
    ),
    # The weights, in the file
    Fault(
        "one weight has the other sign",
        _FLAT,
        graph(graphs.weight("layers.1.weight", graphs.flipped(5 * 784 + 400))),
    ),
    Fault(
        "one weight of the black border",
        _FLAT,
        graph(graphs.weight("layers.1.weight", graphs.flipped(0))),
    ),
    Fault(
        "two rows of the last layer swapped",
        _FLAT,
        graph(graphs.weight("layers.1.weight", graphs.swapped(3, 8))),
    ),
    Fault("the bias dropped", _ROWS, graph(graphs.weight("layers.5.bias", np.zeros_like))),
    Fault(
        "weights rounded to float16",
        _FLAT,
        graph(graphs.all_weights(lambda w: w.astype(np.float16).astype(np.float32))),
    ),
    Fault("weights rounded as by TF32", _FLAT, graph(graphs.all_weights(graphs.mantissa))),
    Fault("the weights of another training", _FLAT, converted(networks.other_weights), **_TRACE),
    Fault(
        "the same under golden samples that allow everything",
        _FLAT,
        Both(converted(networks.other_weights), Stated(manifests.widened)),
        **_TRACE,
    ),
    # The graph
    Fault("the last sigmoid missing", _ROWS, graph(graphs.without_last("Sigmoid"))),
    Fault("a sigmoid twice", _ROWS, graph(graphs.output("probability", "Sigmoid"))),
    Fault(
        "a softmax in the file", _FLAT, converted(networks.after(lambda y: y.softmax(1))), **_TRACE
    ),
    Fault(
        "a softmax over the batch",
        _WORD,
        converted(networks.after(lambda y: y.softmax(1))),
        **_TRACE,
    ),
    Fault(
        "the classes reversed in the graph",
        _WORD,
        converted(networks.after(lambda y: y.flip(2))),
        **_TRACE,
    ),
    Fault(
        "an output renamed", _FLAT, graph(graphs.renamed({"logits": "scores"})), compare="refused"
    ),
    Fault("two outputs swapped", _WARD, graph(graphs.renamed({"logits": "box", "box": "logits"}))),
    Fault(
        "a probability next to pixels is off",
        _WARD,
        graph(graphs.output("box", "Add", [0, 0, 1e-3])),
    ),
    Fault("the pixels scaled by 255 once more", _FLAT, graph(graphs.scaled("image", 1 / 255))),
    Fault("the image transposed", _FLAT, converted(networks.before(networks.transposed)), **_TRACE),
    Fault(
        "the epsilon of a batch normalisation",
        _WARD,
        graph(graphs.attribute("BatchNormalization", "epsilon", 1e-3)),
    ),
    Fault("max pooling with ceil_mode", _WARD, graph(graphs.attribute("MaxPool", "ceil_mode", 1))),
    Fault(
        "average pooling that counts its padding",
        _WARD,
        graph(graphs.attribute("AveragePool", "count_include_pad", 1)),
    ),
    Fault(
        "the reset gate before the product",
        _NAMES,
        graph(graphs.attribute("GRU", "linear_before_reset", 0)),
    ),
    Fault("the gates of an LSTM in another order", _LINES, graph(graphs.gates)),
    Fault("the padding is read", _NAMES, converted(networks.before(networks.unmasked)), **_TRACE),
    Fault(
        "the time axis reversed",
        _LINES,
        converted(networks.before(lambda s: (s.flip(0),))),
        **_TRACE,
    ),
    Fault("the time axis frozen", _WORD, converted(networks.frozen_time), **_TRACE),
    Fault("the batch axis frozen", _FLAT, graph(graphs.frozen(3)), compare="refused"),
    # The manifest, with the digest of its statement written anew
    Fault("labels reversed", _FLAT, Stated(lambda c: manifests.labels(c, *range(9, -1, -1)))),
    Fault("labels rotated", _FLAT, Stated(lambda c: manifests.labels(c, *range(1, 10), 0))),
    Fault("two labels swapped", _FLAT, Stated(manifests.two_swapped)),
    Fault("a label misspelt", _ROWS, Stated(manifests.misspelt)),
    Fault("another mean", _LINES, preprocessed(mean=0.5)),
    Fault("another standard deviation", _LINES, preprocessed(std=0.05)),
    Fault("another resize mode", _FLAT, preprocessed(resize_mode="letterbox")),
    Fault("another size", _FLAT, preprocessed(size=[14, 56])),
    Fault("the colours in another order", _WARD, preprocessed(colours="BGR")),
    Fault("another resize length", _WARD, preprocessed(resize=14)),
    Fault("another interpolation", _WARD, preprocessed(interpolation="bicubic")),
    Fault("the mean of another channel", _WARD, preprocessed(mean=[0.3, 0.5, 0.4])),
    Fault("another unknown symbol", _NAMES, preprocessed(unknown=2)),
    Fault("another padding symbol", _NAMES, preprocessed(padding=3)),
    Fault("the alphabet in another order", _WORD, preprocessed(alphabet=["o", "l", "h", "e"])),
    Fault("two columns swapped", _ROWS, Stated(manifests.columns_swapped)),
    Fault("mean and deviation of columns", _ROWS, Stated(manifests.standardised_otherwise)),
    Fault("the outputs in another order", _WARD, Stated(manifests.outputs_swapped)),
    Fault("time and batch of an output swapped", _WORD, Stated(manifests.axes_swapped)),
    Fault("another task", _FLAT, Stated(lambda _: {"task": "probabilities"})),
    Fault("golden samples removed", _FLAT, Stated(lambda _: {"golden": ()}), "right", why=_LOST),
    Fault(
        "raw golden samples removed",
        _FLAT,
        Stated(lambda _: {"end_to_end": ()}),
        "right",
        why=_LOST,
    ),
    Fault(
        "the recorded accuracy raised",
        _ROWS,
        Stated(lambda c: manifests.recorded(c, 1.0)),
        "right",
        "right",
        "fails",
        "fails",
        "the predictions are right",
    ),
    # Files and data
    Fault(
        "a byte of the file changed",
        _FLAT,
        Damaged(""),
        "right",
        compare="refused",
        why="a new file is written",
    ),
    Fault(
        "a byte of the checkpoint changed",
        _FLAT,
        Damaged("checkpoint.pt"),
        "refused",
        "right",
        "refused",
        "right",
        _FILE,
    ),
    Fault(
        "the checkpoint of another training next to it",
        _FLAT,
        Beside(networks.other_weights),
        "right",
        "right",
        "refused",
        "right",
        _FILE,
    ),
    Fault(
        "data with other class names",
        _WARD,
        Data(data.other_classes),
        "right",
        "right",
        "refused",
        why=_NOT_ASKED,
    ),
    Fault(
        "data that lacks a column",
        _ROWS,
        Data(data.narrow),
        "right",
        "right",
        "refused",
        why=_NOT_ASKED,
    ),
)
