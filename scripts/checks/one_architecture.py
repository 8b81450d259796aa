"""Export one architecture with random weights, through ptx and plainly, and check both files.

`python scripts/checks/one_architecture.py --list` prints a JSON line for each architecture with its
number of parameters; `python scripts/checks/one_architecture.py NAME` prints one JSON line of results.
`architectures.py` runs it in a process of its own for each architecture.

Both files are run by ONNX Runtime on new random inputs of another batch size and compared with the
eager network; ptx's own check has no part in this. Seconds are CPU time of all threads, after a first
export of a tiny network has imported and initialised everything.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn
from torch.export import Dim

from ptx.export import export
from ptx.infer import PtxError

SEED = 0
FRESH_SEED = 1
FRESH_BATCH, FRESH_TOKENS = 5, 23
# Largest difference from the eager network, as a fraction of its largest output, that counts as right.
TOLERANCE = 1e-3
# The packages whose versions a result depends on, except ONNX Runtime, which has several names.
PACKAGES = (
    "ptx-toolkit",
    "torch",
    "onnxscript",
    "onnx",
    "torchvision",
    "timm",
    "segmentation-models-pytorch",
    "transformers",
)

NAMES = Path(__file__).with_name("architectures.txt")  # LIBRARY:NAME, one a line
# Of torchvision, by what they are for.
SEGMENTATION = {"deeplabv3_mobilenet_v3_large", "fcn_resnet50", "lraspp_mobilenet_v3_large"}
VIDEO = {"mc3_18", "r2plus1d_18", "r3d_18", "s3d", "swin3d_t"}


_NARROW = {
    "vocab_size": 1000,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
_GPT = {"vocab_size": 1000, "n_embd": 64, "n_layer": 2, "n_head": 4}
_ENCODER_DECODER = {
    "vocab_size": 1000,
    "d_model": 64,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "decoder_ffn_dim": 128,
}
_TWO_LAYERS = {**_NARROW, "num_key_value_heads": 2, "use_cache": False}
_PATCHES = {key: value for key, value in _NARROW.items() if key != "vocab_size"}
_AUDIO = {**_NARROW, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}

# Model type of transformers: what it takes, and its configuration, with two narrow layers.
TRANSFORMERS: dict[str, tuple[str, dict[str, Any]]] = {
    "albert": ("masked text", {**_NARROW, "embedding_size": 32}),
    "bert": ("masked text", _NARROW),
    "camembert": ("masked text", _NARROW),
    "deberta-v2": ("masked text", {**_NARROW, "relative_attention": True, "pos_att_type": ["p2c"]}),
    "distilbert": ("masked text", {"vocab_size": 1000, "dim": 64, "n_layers": 2, "n_heads": 4}),
    "electra": ("masked text", {**_NARROW, "embedding_size": 32}),
    "mpnet": ("masked text", _NARROW),
    "roberta": ("masked text", _NARROW),
    "xlm-roberta": ("masked text", _NARROW),
    "bloom": ("text", {**_GPT, "hidden_size": 64, "use_cache": False}),
    "gemma": ("text", {**_TWO_LAYERS, "head_dim": 16}),
    "gpt2": ("text", {**_GPT, "use_cache": False}),
    "gpt_neox": ("text", {**_NARROW, "use_cache": False}),
    "llama": ("text", _TWO_LAYERS),
    "mistral": ("text", _TWO_LAYERS),
    "opt": ("text", {**_NARROW, "ffn_dim": 128, "word_embed_proj_dim": 64, "use_cache": False}),
    "phi": ("text", {**_NARROW, "use_cache": False}),
    "qwen2": ("text", _TWO_LAYERS),
    "qwen3": ("text", {**_TWO_LAYERS, "head_dim": 16}),
    "bart": ("two texts", {**_ENCODER_DECODER, "use_cache": False}),
    "t5": (
        "two texts",
        {
            "vocab_size": 1000,
            "d_model": 64,
            "d_kv": 16,
            "d_ff": 128,
            "num_layers": 2,
            "num_heads": 4,
            "use_cache": False,
        },
    ),
    "beit": ("image", _PATCHES),
    "convnext": ("image", {"hidden_sizes": [16, 32, 64, 128], "depths": [1, 1, 2, 1]}),
    "deit": ("image", _PATCHES),
    "dinov2": ("image", _PATCHES),
    "mobilevit": ("image", {}),
    "segformer": ("image", {}),
    "swin": ("image", {"embed_dim": 32, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 8]}),
    "vit": ("image", _PATCHES),
    "hubert": ("audio", _AUDIO),
    "wav2vec2": ("audio", _AUDIO),
}


@dataclass(frozen=True)
class Input:
    """An input of a network: axes as in a signature, and the range of integers."""

    name: str
    axes: tuple[str | int, ...]
    below: int = 0  # integers from 0 to one less; 0: floats

    def spec(self) -> list[Any]:
        """As in a signature of ptx."""
        if self.below:
            return ["int64", list(self.axes), [0, self.below - 1]]
        return ["float32", list(self.axes)]

    def random(self, sizes: dict[str, int], generator: torch.Generator) -> Tensor:
        """Random values, with these sizes of the dynamic axes."""
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in self.axes]
        if self.below == 2:  # a mask, whose first position is never masked
            mask = torch.randint(2, shape, generator=generator)
            mask[:, 0] = 1
            return mask
        if self.below:
            return torch.randint(self.below, shape, generator=generator)
        return torch.randn(shape, generator=generator)


@dataclass(frozen=True)
class Architecture:
    """A network with random weights and its inputs."""

    network: nn.Module
    inputs: tuple[Input, ...]

    def random(self, sizes: dict[str, int], seed: int) -> tuple[Tensor, ...]:
        """Random values for all inputs."""
        generator = torch.Generator().manual_seed(seed)
        return tuple(one.random(sizes, generator) for one in self.inputs)

    def signature(self) -> dict[str, Any]:
        """The signature; the axes of the output are found by two runs of different sizes."""
        first, second = {"batch": 2, "tokens": 16}, {"batch": 3, "tokens": 19}
        with torch.inference_mode():
            shapes = [self.network(*self.random(sizes, SEED)).shape for sizes in (first, second)]
        names: dict[tuple[int, int], str] = {
            (first[axis], second[axis]): axis for axis in ("batch", "tokens")
        }
        axes = [
            one if one == other else names[one, other] for one, other in zip(*shapes, strict=True)
        ]
        return {
            "inputs": {one.name: one.spec() for one in self.inputs},
            "outputs": {"output": ["float32", axes]},
        }


class Output(nn.Module):
    """A network that returns only one of its outputs."""

    def __init__(self, network: nn.Module, key: str | int) -> None:
        super().__init__()
        self.network, self.key = network, key

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.network(image)[self.key])


class Text(nn.Module):
    """The hidden state of a language model, without a cache."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor) -> Tensor:
        return cast(Tensor, self.network(input_ids=input_ids)[0])


class MaskedText(Text):
    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:  # type: ignore[override]
        return cast(Tensor, self.network(input_ids=input_ids, attention_mask=attention_mask)[0])


class TwoTexts(Text):
    def forward(self, input_ids: Tensor, decoder_input_ids: Tensor) -> Tensor:  # type: ignore[override]
        outputs = self.network(input_ids=input_ids, decoder_input_ids=decoder_input_ids)
        return cast(Tensor, outputs[0])


def build(name: str) -> Architecture:
    """The network of that name, in eval mode."""
    library, _, entry = name.partition(":")
    torch.manual_seed(SEED)
    found = BUILDERS[library](entry)
    found.network.eval()
    return found


def _torchvision(name: str) -> Architecture:
    from torchvision import models

    finder: Any = models
    # Without these, the weights of a published encoder are downloaded.
    options: dict[str, Any] = {"weights_backbone": None} if name in SEGMENTATION else {}
    options |= {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
    network = finder.get_model(name, weights=None, **options)
    if name in SEGMENTATION:
        network = Output(network, "out")
    axes: tuple[str | int, ...] = ("batch", 3, 224, 224)
    if name == "inception_v3":
        axes = ("batch", 3, 299, 299)
    if name in VIDEO:
        frames, size = (16, 112) if name != "s3d" else (16, 224)
        axes = ("batch", 3, frames, size, size)
    return Architecture(network, (Input("image", axes),))


def _timm(name: str) -> Architecture:
    timm: Any = import_module("timm")
    network = timm.create_model(name, pretrained=False)
    return Architecture(network, (Input("image", ("batch", *network.default_cfg["input_size"])),))


def _segmentation_models(name: str) -> Architecture:
    segmentation_models: Any = import_module("segmentation_models_pytorch")
    decoder, _, encoder = name.partition("/")
    network = segmentation_models.create_model(
        decoder, encoder_name=encoder, encoder_weights=None, classes=2
    )
    return Architecture(network, (Input("image", ("batch", 3, 224, 224)),))


def _transformers(name: str) -> Architecture:
    transformers: Any = import_module("transformers")
    kind, settings = TRANSFORMERS[name]
    config = transformers.AutoConfig.for_model(name, **settings)
    network = transformers.AutoModel.from_config(config)
    text = ("batch", "tokens")
    words = int(getattr(config, "vocab_size", 0))
    if kind == "text":
        return Architecture(Text(network), (Input("input_ids", text, words),))
    if kind == "masked text":
        inputs = (Input("input_ids", text, words), Input("attention_mask", text, 2))
        return Architecture(MaskedText(network), inputs)
    if kind == "two texts":
        inputs = (Input("input_ids", text, words), Input("decoder_input_ids", text, words))
        return Architecture(TwoTexts(network), inputs)
    if kind == "audio":
        return Architecture(Output(network, 0), (Input("audio", ("batch", 8000)),))
    size = getattr(config, "image_size", 224)
    return Architecture(Output(network, 0), (Input("image", ("batch", 3, size, size)),))


BUILDERS: dict[str, Callable[[str], Architecture]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "segmentation_models": _segmentation_models,
    "transformers": _transformers,
}


def settle(architecture: Architecture) -> None:
    """Give a network with random weights outputs of about the size of a trained one's.

    Layers that start from zero, and scales of residual blocks that start from 1e-6, would make most of
    the network irrelevant to its output; batch normalisations without statistics let numbers grow or
    vanish from layer to layer.
    """
    for parameter in architecture.network.parameters():
        values = parameter.detach().flatten()
        constant = len(values) > 1 and bool((values == values[0]).all())
        value = float(values[0]) if constant else 0.0
        if constant and value == 0 and parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.02)
        elif 0 < abs(value) < 1e-2:
            nn.init.constant_(parameter, 0.1)
    normalizations = [
        module
        for module in architecture.network.modules()
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
    ]
    for module in normalizations:
        module.momentum = 1.0  # the statistics of the next batch
        if not module.weight.any():
            nn.init.constant_(module.weight, 0.5)
        module.train()
    if normalizations:
        with torch.no_grad():
            architecture.network(*architecture.random({"batch": 4, "tokens": 16}, SEED))
    for module in normalizations:
        module.eval()


def export_plainly(architecture: Architecture, path: Path) -> None:
    """`torch.onnx.export` as its documentation shows it."""
    dynamic = tuple(
        {index: Dim.DYNAMIC for index, axis in enumerate(one.axes) if isinstance(axis, str)}
        for one in architecture.inputs
    )
    torch.onnx.export(
        architecture.network,
        architecture.random({"batch": 2, "tokens": 16}, SEED),
        str(path),
        input_names=[one.name for one in architecture.inputs],
        output_names=["output"],
        dynamic_shapes=dynamic,
        dynamo=True,
        verbose=False,
    )


def export_with_ptx(architecture: Architecture, path: Path) -> None:
    """As a user of ptx would: the network and its signature."""
    export(
        architecture.network,
        "onnx",
        path,
        name="network",
        signature=architecture.signature(),
    )


def difference(architecture: Architecture, path: Path) -> float:
    """The largest difference of a file from the network, as a fraction of its largest output.

    The inputs are new, of another batch size and length than any in the exports.
    """
    inputs = architecture.random({"batch": FRESH_BATCH, "tokens": FRESH_TOKENS}, FRESH_SEED)
    with torch.inference_mode():
        expected = architecture.network(*inputs).double().numpy()
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {
        one.name: value.numpy() for one, value in zip(architecture.inputs, inputs, strict=True)
    }
    (actual,) = session.run(["output"], feeds)
    if actual.shape != expected.shape:
        return float("inf")
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


def attempt(
    architecture: Architecture, exporter: Callable[[Architecture, Path], None], path: Path
) -> dict[str, Any]:
    """The outcome of one export: right, wrong, refused or fails; its CPU seconds."""
    started = time.process_time()
    try:
        exporter(architecture, path)
    except PtxError as error:
        outcome = f"refused: {error.code}: {first_line(error)}"
        return {"outcome": outcome, "seconds": time.process_time() - started}
    except Exception as error:  # whatever a library raises
        outcome = f"fails: {type(error).__name__}: {first_line(error)}"
        return {"outcome": outcome, "seconds": time.process_time() - started}
    seconds = time.process_time() - started
    try:
        relative = difference(architecture, path)
    except Exception as failure:  # ONNX Runtime does not run the file
        outcome = f"wrong: {type(failure).__name__}: {first_line(failure)}"
        return {"outcome": outcome, "seconds": seconds}
    outcome = "right" if relative <= TOLERANCE else f"wrong: differs by {relative:.1e}"
    return {"outcome": outcome, "seconds": seconds, "difference": relative}


def first_line(error: BaseException) -> str:
    """Without the colours of a terminal."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    return (text.strip().splitlines() or [""])[0]


def measure(name: str) -> dict[str, Any]:
    """The results of one architecture."""
    tiny = Architecture(
        nn.Sequential(nn.Conv2d(3, 4, 3)).eval(), (Input("image", ("batch", 3, 8, 8)),)
    )
    with tempfile.TemporaryDirectory() as folder:
        for exporter in (export_plainly, export_with_ptx):
            exporter(tiny, Path(folder) / f"{exporter.__name__}.onnx")
        architecture = build(name)
        settle(architecture)
        plain = attempt(architecture, export_plainly, Path(folder) / "plain.onnx")
        proven = attempt(architecture, export_with_ptx, Path(folder) / "proven.onnx")
    return {
        "name": name,
        "parameters": count_parameters(architecture.network),
        "ptx": proven,
        "plain": plain,
        "versions": {package: version(package) for package in PACKAGES}
        | {"onnxruntime": onnxruntime.__version__},
    }


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def listing() -> Iterator[dict[str, Any]]:
    """All architectures with their number of parameters, built one after the other."""
    for name in NAMES.read_text().split():
        yield {"name": name, "parameters": count_parameters(build(name).network)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("--list", action="store_true", help="names and sizes of all")
    options = parser.parse_args(arguments)
    if options.list == bool(options.name):
        parser.error("expected NAME or --list")
    torch.set_num_threads(1)
    stdout, sys.stdout = sys.stdout, sys.stderr  # exporters print
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries, about themselves
        for line in listing() if options.list else [measure(options.name)]:
            print(json.dumps(line), file=stdout, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
