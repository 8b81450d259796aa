"""Recurrent layers by option and format: exported and right, or refused and why.

A row is one combination of layer, options, packing and states. Its cell for each format is

- `right`: the export passed its check, and the file gives the network's outputs at sizes that the check
  does not run;
- `refused`: the export failed, and the exporter of PyTorch alone wrote a file that is right;
- `plain fails too`: the export failed, and so did PyTorch's exporter, or its file is wrong;
- `WRONG`: the file was written, but its outputs differ. This must never happen.
"""

from __future__ import annotations

import argparse
import io
import itertools
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ptx.export import TrainedModel, describe, export
from ptx.infer import PtxError, load

FORMATS = ("onnx", "torchscript", "pt2")
FEATURES, HIDDEN, PROJECTION = 4, 6, 3
# Sizes at which a written file is run: in no test matrix of an export.
SIZES = ({"batch": 4, "time": 21}, {"batch": 9, "time": 2}, {"batch": 1, "time": 6})
LAYERS: dict[str, Callable[..., nn.RNNBase]] = {
    "LSTM": nn.LSTM,
    "LSTM-projected": lambda *sizes, **options: nn.LSTM(*sizes, proj_size=PROJECTION, **options),
    "GRU": nn.GRU,
    "RNN-tanh": nn.RNN,
    "RNN-relu": lambda *sizes, **options: nn.RNN(*sizes, nonlinearity="relu", **options),
}

Arrays = Mapping[str, np.ndarray[Any, np.dtype[Any]]]


@dataclass(frozen=True)
class Combination:
    """One layer with its options, and what goes in and out of it.

    Attributes:
        layer: A key of LAYERS.
        packed: Whether the layer takes a packed sequence; then the lengths are an input.
        states: "none", or "in-out": the first states are inputs, and the last ones outputs.
    """

    layer: str
    batch_first: bool = False
    bidirectional: bool = False
    layers: int = 1
    packed: bool = False
    states: str = "none"

    def __str__(self) -> str:
        flags = [name for name in ("batch_first", "bidirectional", "packed") if getattr(self, name)]
        return f"{self.layer} ×{self.layers} {' '.join(flags)} states={self.states}".replace(
            "  ", " "
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the layer's states."""
        return ("hidden", "cell") if self.layer.startswith("LSTM") else ("hidden",)

    def signature(self) -> dict[str, Any]:
        """The signature of its network: both axes of the sequence are dynamic."""
        axes = ["batch", "time"] if self.batch_first else ["time", "batch"]
        directions = 2 if self.bidirectional else 1
        width = PROJECTION if self.layer == "LSTM-projected" else HIDDEN
        widths = {"hidden": width, "cell": HIDDEN}
        rows = self.layers * directions
        states = {name: ["float32", [rows, "batch", widths[name]]] for name in self.names}
        inputs: dict[str, Any] = {"sequence": ["float32", [*axes, FEATURES]]}
        outputs: dict[str, Any] = {"outputs": ["float32", [*axes, width * directions]]}
        if self.packed:
            inputs["lengths"] = ["int64", ["batch"], [1, "time"]]
        if self.states == "in-out":
            inputs |= states
        if self.states != "none":
            outputs |= {f"last_{name}": spec for name, spec in states.items()}
        return {"inputs": inputs, "outputs": outputs}


class Recurrent(nn.Module):
    """The network of a combination, with seeded random weights."""

    def __init__(self, combination: Combination) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.combination = combination
        self.layer = LAYERS[combination.layer](
            FEATURES,
            HIDDEN,
            num_layers=combination.layers,
            batch_first=combination.batch_first,
            bidirectional=combination.bidirectional,
        )

    def forward(self, sequence: Tensor, *rest: Tensor) -> Tensor | tuple[Tensor, ...]:
        case = self.combination
        lengths, *states = rest if case.packed else (None, *rest)
        first = tuple(states) if len(states) > 1 else states[0] if states else None
        outputs: Tensor
        if lengths is None:
            outputs, last = self.layer(sequence, first)
        else:
            packed = pack_padded_sequence(
                sequence, lengths.cpu(), batch_first=case.batch_first, enforce_sorted=False
            )
            hidden, last = self.layer(packed, first)
            outputs, _ = pad_packed_sequence(
                hidden,
                batch_first=case.batch_first,
                total_length=sequence.shape[1 if case.batch_first else 0],
            )
        if case.states == "none":
            return outputs
        return outputs, *(last if isinstance(last, tuple) else (last,))


def combinations() -> Iterator[Combination]:
    """All combinations, in the order of the table."""
    for layer, batch_first, bidirectional, layers, packed, states in itertools.product(
        LAYERS, (False, True), (False, True), (1, 2), (False, True), ("none", "in-out")
    ):
        yield Combination(layer, batch_first, bidirectional, layers, packed, states)


@dataclass(frozen=True)
class Result:
    """The cell of a table: see the module's docstring."""

    verdict: str
    reason: str = ""


def run(combination: Combination, formats: Sequence[str], folder: Path) -> dict[str, Result]:
    """The result of each format."""
    network = Recurrent(combination).eval()
    try:
        trained = describe(network, signature=combination.signature())
    except PtxError as error:
        return dict.fromkeys(formats, Result("refused", first_line(error)))
    return {name: run_format(trained, network, name, folder) for name in formats}


def run_format(trained: TrainedModel, network: nn.Module, name: str, folder: Path) -> Result:
    """The result of one format."""
    signature = trained.manifest.signature
    samples = [signature.example(sizes, seed=1) for sizes in SIZES]
    try:
        done = export(trained, name, folder / f"net.{name}")
        with load(done.path, trust=True, device="cpu") as predictor:
            differing = sum(not equal(network, s, predictor.run(s)) for s in samples)
    except PtxError as error:
        plain = plain_export(network, trained, name, samples)
        return Result("plain fails too" if plain else "refused", first_line(error))
    except Exception as error:  # a written file that fails is wrong, whatever it raises
        return Result("WRONG", first_line(error))
    return (
        Result("WRONG", f"{differing} of {len(SIZES)} sizes differ")
        if differing
        else Result("right")
    )


def equal(network: nn.Module, inputs: Arrays, outputs: Arrays) -> bool:
    """Whether these are the network's outputs."""
    with torch.no_grad():
        expected = network(*(torch.from_numpy(value) for value in inputs.values()))
    expected = (expected,) if isinstance(expected, Tensor) else expected
    return all(
        got.shape == wanted.shape and np.allclose(got, wanted.numpy(), atol=1e-5)
        for got, wanted in zip(outputs.values(), expected, strict=True)
    )


def plain_export(
    network: nn.Module, trained: TrainedModel, name: str, samples: Sequence[Arrays]
) -> str:
    """Why PyTorch's own exporter does not write a file that is right; empty if it does."""
    signature = trained.manifest.signature
    inputs = signature.example({"batch": 5, "time": 11})
    tensors = tuple(torch.from_numpy(value) for value in inputs.values())
    shapes = tuple(
        {at: torch.export.Dim.DYNAMIC for at, axis in enumerate(spec.axes) if isinstance(axis, str)}
        for spec in signature.inputs
    )
    outputs = [spec.name for spec in signature.outputs]
    try:
        runner = PLAIN[name](network, tensors, (shapes,), list(inputs), outputs)
        wrong = sum(
            not equal(network, s, dict(zip(outputs, runner(s), strict=True))) for s in samples
        )
    except Exception as error:  # whatever an exporter or runtime raises
        return first_line(error)
    return f"{wrong} of {len(samples)} sizes differ" if wrong else ""


def plain_onnx(
    network: nn.Module, tensors: Any, shapes: Any, inputs: list[str], outputs: list[str]
) -> Callable[[Arrays], list[Any]]:
    """A session over the file of torch.onnx.export."""
    import onnxruntime

    program = torch.onnx.export(
        network,
        tensors,
        dynamo=True,
        dynamic_shapes=shapes,
        input_names=inputs,
        output_names=outputs,
    )
    assert program is not None
    content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda sample: list(session.run(None, dict(sample)))


def plain_pt2(
    network: nn.Module, tensors: Any, shapes: Any, inputs: list[str], outputs: list[str]
) -> Callable[[Arrays], list[Any]]:
    """The program of torch.export.export, stored and loaded."""
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(network, tensors, dynamic_shapes=shapes), buffer)
    buffer.seek(0)
    return run_torch(torch.export.load(buffer).module())


def plain_torchscript(
    network: nn.Module, tensors: Any, shapes: Any, inputs: list[str], outputs: list[str]
) -> Callable[[Arrays], list[Any]]:
    """The trace of torch.jit.trace."""
    return run_torch(torch.jit.trace(network, tensors))  # type: ignore[no-untyped-call]


PLAIN: dict[str, Callable[..., Callable[[Arrays], list[Any]]]] = {
    "onnx": plain_onnx,
    "torchscript": plain_torchscript,
    "pt2": plain_pt2,
}


def run_torch(module: Callable[..., Any]) -> Callable[[Arrays], list[Any]]:
    """A module of tensors as a function of arrays."""

    def runner(sample: Arrays) -> list[Any]:
        with torch.no_grad():
            got = module(*(torch.from_numpy(value) for value in sample.values()))
        return [value.numpy() for value in ((got,) if isinstance(got, Tensor) else got)]

    return runner


def first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=FORMATS)
    parser.add_argument("--layers", nargs="+", default=list(LAYERS), choices=LAYERS)
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="run each Nth combination"
    )
    options = parser.parse_args(arguments)
    chosen = [c for c in combinations() if c.layer in options.layers][:: options.every]
    counts = {name: Counter[str]() for name in options.formats}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters, about themselves
        for combination in chosen:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                results = run(combination, options.formats, Path(folder))
            for name, result in results.items():
                counts[name][result.verdict] += 1
                print(
                    f"{combination!s:62} {name:12} {result.verdict:16} {result.reason}", flush=True
                )
    for name, verdicts in counts.items():
        print(
            f"{name}: {', '.join(f'{count} {verdict}' for verdict, count in verdicts.most_common())}"
        )
    return int(any(verdicts["WRONG"] for verdicts in counts.values()))


if __name__ == "__main__":
    raise SystemExit(main())
