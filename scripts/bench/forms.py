"""The forms of a file, weights and int8, of eight documented and four torchvision networks: a table.

    ptx train NAME --workspace F …        # each of DOCUMENTED, on its whole data
    ./scripts/run bench/forms F           # trains torchvision's briefly, makes every form, counts labels
    ./scripts/run bench/forms F --time    # then alone on the machine: speeds, and the table

torchvision's networks have random weights (nothing is downloaded), so they are trained here for a few
minutes on MNIST in 32×32 pixels before labels can be counted; at 224×224 speed alone is measured, with
random weights and random rows, since it does not depend on the numbers.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import nn

from ptx.export import KnownRows, TrainedModel, Trial, describe, read_model, round_weights
from ptx.export.exporting import prove
from ptx.export.formats import find_attach, find_convert
from ptx.export.int8.exporting import try_int8
from ptx.export.int8.gates import GATES
from ptx.export.int8.speed import times_as_fast
from ptx.export.int8.static_qdq import quantise
from ptx.infer import Signature, load
from ptx.infer.signature import Array
from ptx.report import make_trial
from ptx.trainers import SOURCES, Dataset, open_dataset

DOCUMENTED = (
    "convnet", "mlp", "deep-convnet", "neural-network", "inception", "residual-net", "lstm",
    "name-classifier",
)  # fmt: skip
# Of the training on MNIST: rows, steps' batch, learning rate; and what makes the network small.
TORCHVISION: dict[str, tuple[int, int, float, dict[str, Any]]] = {
    "resnet18": (12_000, 64, 1e-3, {}),
    "mobilenet_v3_small": (30_000, 64, 1e-3, {}),
    "efficientnet_b0": (12_000, 64, 1e-3, {}),
    "vit_b_16": (6_000, 64, 5e-5, {"image_size": 32, "patch_size": 8}),
}
FORMS = ("float16", "int8")
CLASSES, SMALL, LARGE = 10, 32, 224
CALIBRATION, TEST, RANDOM = 512, 2000, 16  # rows
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--only", choices=(*DOCUMENTED, *TORCHVISION), action="append")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    names = asked.only or (*DOCUMENTED, *TORCHVISION)
    for name in names:
        (time_forms if asked.time else make_forms)(
            name, asked.folder / "forms" / name, asked.folder
        )
    if asked.time:
        print_table(asked.folder / "forms")


def make_forms(name: str, folder: Path, workspace: Path) -> None:
    """Write each form of one network, with what was counted; a network that is there already is kept."""
    facts = folder / "facts.json"
    if facts.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    trained, dataset = (_documented if name in DOCUMENTED else _torchvision)(name, workspace)
    trial = dataset if isinstance(dataset, Trial) else make_trial(
        trained, dataset, max_drop=0.1, for_size=False
    )  # fmt: skip
    tried = try_int8(trained, folder / "compute.onnx", trial)
    plain = tried.proved
    attach = find_attach("onnx")
    card = plain.card.to_json()
    (folder / "float32.onnx").write_bytes(attach(plain.content, card))
    (folder / "compute.onnx").write_bytes(attach(tried.content, card))
    found: dict[str, Any] = {"float32": len(plain.content), "compute": len(tried.content)}
    for form in FORMS:
        rounded = prove(round_weights(trained, form), "onnx", folder / f"{form}.onnx")
        (folder / f"{form}.onnx").write_bytes(attach(rounded.content, rounded.card.to_json()))
        found[form] = len(rounded.content)
        found[f"{form} changed"] = _changed(folder / "float32.onnx", folder / f"{form}.onnx", trial)
    found["accuracy"] = tried.found.accuracy.to_data()
    found["against"] = [key for key, gate in GATES.items() if key != "worth" and gate(tried.found)]
    if name in TORCHVISION:
        _write_large(name, folder)
    facts.write_text(json.dumps(found))
    print(name, found, flush=True)


def _documented(name: str, workspace: Path) -> tuple[TrainedModel, Dataset]:
    trained = read_model(workspace / name / "checkpoint.pt")
    source = str(trained.card.training["data"]["name"])
    assert source in SOURCES, f"{name} was trained on {source}"
    return trained, open_dataset(source, default=source, cache=workspace / "data")


def _torchvision(name: str, workspace: Path) -> tuple[TrainedModel, Trial]:
    rows, batch, rate, said = TORCHVISION[name]
    dataset = open_dataset("mnist", default="mnist", cache=workspace / "data")
    network = _make(name, **said)
    _train(network, dataset, rows, batch, rate)
    trained = describe(
        network.eval(), name=name.replace("_", "-"), task="classification",
        labels=list(dataset.labels), signature=_signature(SMALL),
        samples={"image": _images(dataset.test.inputs["image"][:64])},
    )  # fmt: skip
    calibration = _known(dataset.train.inputs["image"], dataset.train.targets, CALIBRATION)
    return trained, Trial(calibration, _known(*_test(dataset), TEST))


def _make(name: str, **said: Any) -> nn.Module:
    torch.manual_seed(SEED)
    network: nn.Module = getattr(torchvision.models, name)(
        weights=None, num_classes=CLASSES, **said
    )
    return network


def _train(network: nn.Module, dataset: Dataset, rows: int, batch: int, rate: float) -> None:
    """One short pass over the first rows."""
    optimizer = torch.optim.Adam(network.parameters(), rate)
    network.train()
    pixels, targets = dataset.train.inputs["image"], torch.from_numpy(dataset.train.targets.copy())
    for start in range(0, rows, batch):
        part = slice(start, start + batch)
        images = torch.from_numpy(_images(pixels[part]))
        loss = nn.functional.cross_entropy(network(images), targets[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _images(pixels: Array) -> Array:
    """float32 (rows, 3, 32, 32) in [−1, 1] of uint8 (rows, 28, 28): the digit within a margin of 2."""
    padded = np.pad(pixels, ((0, 0), (2, 2), (2, 2)))
    scaled = padded.astype(np.float32) / np.float32(127.5) - np.float32(1)
    return np.ascontiguousarray(np.repeat(scaled[:, np.newaxis], 3, axis=1))


def _test(dataset: Dataset) -> tuple[Array, Array]:
    return dataset.test.inputs["image"], dataset.test.targets


def _known(pixels: Array, targets: Array, count: int) -> KnownRows:
    def batches() -> Iterator[tuple[dict[str, Array], Array]]:
        for start in range(0, count, 250):
            part = slice(start, min(start + 250, count))
            yield {"image": _images(pixels[part])}, targets[part]

    return KnownRows("mnist", count, batches)


def _signature(size: int) -> dict[str, Any]:
    return {
        "inputs": {"image": ["float32", ["batch", 3, size, size]]},
        "outputs": {"logits": ["float32", ["batch", CLASSES]]},
    }


def _changed(plain: Path, rounded: Path, trial: Trial) -> int:
    """Test answers of two files that have other labels."""
    with load(plain, backend="ort-cpu") as first, load(rounded, backend="ort-cpu") as second:
        return sum(
            int((first.classes(first.run(inputs)) != second.classes(second.run(inputs))).sum())
            for inputs, _ in trial.test.batches()
        )


def _write_large(name: str, folder: Path) -> None:
    """The network at 224×224 in float32 and in int8, without a card; for its speed alone."""
    signature = Signature.from_data(_signature(LARGE))
    content = find_convert("onnx")(_make(name).eval(), signature, opset=None)
    inputs = signature.example({"batch": RANDOM}, seed=SEED)
    rows = KnownRows("random", RANDOM, lambda: iter([(inputs, np.zeros(RANDOM, np.int64))]))
    (folder / "large-float32.onnx").write_bytes(content)
    (folder / "large-compute.onnx").write_bytes(quantise(content, signature, rows))


def time_forms(name: str, folder: Path, _: Path) -> None:
    """Each form beside float32, in turns."""
    speed = {}
    with load(folder / "float32.onnx", backend="ort-cpu") as plain:
        inputs = plain.signature.example(dict.fromkeys(plain.signature.dynamic_axes, 28))
        for form in (*FORMS, "compute"):
            with load(folder / f"{form}.onnx", backend="ort-cpu") as ours:
                speed[form] = times_as_fast(ours, plain, inputs)
    if name in TORCHVISION:
        speed["large"] = _time_large(folder)
    (folder / "speed.json").write_text(json.dumps(speed))


class _Bare:
    """A session without a card, as `times_as_fast` asks for one."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.signature = Signature.from_data(_signature(LARGE))
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.backend = self
        self.run: Callable[[Any], Any] = partial(session.run, None)


def _time_large(folder: Path) -> dict[int, float]:
    ours, plain = (_Bare(folder / f"large-{form}.onnx") for form in ("compute", "float32"))
    inputs = plain.signature.example({"batch": 1}, seed=SEED)
    return times_as_fast(ours, plain, inputs)  # type: ignore[arg-type]


def print_table(folder: Path) -> None:
    """The rows of docs/deploy.md."""
    for name in (*DOCUMENTED, *TORCHVISION):
        if not (folder / name / "speed.json").exists():
            continue
        found = json.loads((folder / name / "facts.json").read_text())
        speed = json.loads((folder / name / "speed.json").read_text())
        one = found["accuracy"]
        cells = [name, f"{found['float32']:,}"]
        for form in FORMS:
            share, changed = found[form] / found["float32"], found[f"{form} changed"]
            cells += [f"{share:.2f}", str(changed), _fast(speed[form])]
        cells += [
            f"{found['compute'] / found['float32']:.2f}",
            f"{100 * one['before']:.2f} → {100 * one['after']:.2f}",
            f"{one['changed']:,} of {one['answers']:,}",
            _fast(speed["compute"]),
            _fast(speed["large"]) if "large" in speed else "",
            _verdict(found["against"], speed),
        ]
        print(f"| {' | '.join(cells)} |")


def _fast(speed: dict[str, float]) -> str:
    return " / ".join(f"{value:.2f}" for value in speed.values())


def _verdict(against: list[str], speed: dict[str, Any]) -> str:
    fastest = max(max(speed[key].values()) for key in ("compute", "large") if key in speed)
    reasons = [*against, *([] if fastest >= 1.1 else ["slower"])]
    return f"refused: {', '.join(reasons)}" if reasons else "written"


if __name__ == "__main__":
    main()
