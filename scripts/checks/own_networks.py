"""Six networks of torchvision with random weights: export, proof, and a prediction on every backend.

Nothing is downloaded: the sizes, means and labels are those of the documented weights' metadata.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from PIL import Image

from ptx.export import EXPORTERS, TrainedModel, VerifiedExport, describe, export
from ptx.infer import PtxError, load

NETWORKS = (
    "resnet18",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "vit_b_16",
    "convnext_tiny",
    "swin_t",
)
SEED = 0
ROW = "{:20} {:12} {:>9} {:>8} {:>8} {:>8} {:>8} {:>6}  {}"


@dataclass(frozen=True)
class Case:
    """One network with the transforms of its documented weights."""

    name: str
    network: torch.nn.Module
    transforms: Any  # torchvision's, on a Pillow image
    labels: tuple[str, ...]

    def trained(self, photo: Path) -> TrainedModel:
        """It, described; the photograph is a real sample."""
        transforms = self.transforms
        crop, resize = transforms.crop_size[0], transforms.resize_size[0]
        return describe(
            self.network,
            name=self.name,
            signature={
                "inputs": {"image": ["float32", ["batch", 3, crop, crop]]},
                "outputs": {"logits": ["float32", ["batch", len(self.labels)]]},
            },
            preprocessing={
                "kind": "rgb-image",
                "resize": resize,
                "size": [crop, crop],
                "interpolation": transforms.interpolation.value,
                "mean": transforms.mean,
                "std": transforms.std,
            },
            labels=self.labels,
            task="classification",
            samples={"image": self.tensor(photo).numpy()},
        )

    def tensor(self, photo: Path) -> torch.Tensor:
        """The photograph through torchvision's own transforms."""
        with Image.open(photo) as image:
            tensor: torch.Tensor = self.transforms(image).unsqueeze(0)
        return tensor

    def answer(self, photo: Path) -> tuple[str, float]:
        """What torchvision and PyTorch alone say: the label and its probability."""
        with torch.inference_mode():
            shares = self.network.eval()(self.tensor(photo)).double().softmax(1)[0]
        best = int(shares.argmax())
        return self.labels[best], float(shares[best])


def make_case(name: str) -> Case:
    """The network of that name with seeded random weights."""
    weights = torchvision.models.get_model_weights(name).DEFAULT
    torch.manual_seed(SEED)
    network = torchvision.models.get_model(name, weights=None)
    settle(network, weights.transforms().crop_size[0])
    return Case(name, network, weights.transforms(), tuple(weights.meta["categories"]))


def settle(network: torch.nn.Module, size: int) -> None:
    """Make the numbers of a network with random weights about as large as those of a trained one.

    Batch normalisations start from statistics that shrink them to 1e-13, a last layer may start from
    zero and the scales of residual blocks from 1e-6: a proof over such numbers would say little. The
    statistics are taken from pictures of many levels, contrasts and grains: those of noise alone, which
    is the same everywhere, would make the last layers blow up every other picture.
    """
    for name, parameter in network.named_parameters():
        if name.endswith("layer_scale"):
            torch.nn.init.constant_(parameter, 0.1)
        elif parameter.ndim == 2 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of the next batch
    smooth = torch.nn.functional.interpolate(torch.randn(16, 3, 6, 6), size, mode="bicubic")
    contrast, level = torch.linspace(0, 2, 16)[:, None, None, None], torch.randn(16, 3, 1, 1)
    grain = torch.linspace(2, 0, 4).repeat(4)[:, None, None, None]
    pictures = smooth * contrast + level + grain * torch.randn(16, 3, size, size)
    with torch.no_grad():
        network.train()(pictures)
    network.eval()


def make_photo(path: Path) -> Path:
    """A JPEG of 640×427 with slopes, edges and grain."""
    random = np.random.default_rng(SEED)
    y, x = np.mgrid[:427, :640]
    planes = [x * 200 / 640, y * 200 / 427, 100 + 100 * np.sin(x / 9) * np.cos(y / 13)]
    pixels = np.stack(planes, axis=-1) + random.normal(0, 12, (427, 640, 3))
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=90)
    return path


def rows(
    case: Case, formats: Sequence[str], photo: Path, folder: Path
) -> Iterator[tuple[str, ...]]:
    """A line of the table for each format."""
    trained = case.trained(photo)
    expected = case.answer(photo)
    for name in formats:
        started = time.perf_counter()
        path = folder / f"{case.name}.{name}"
        try:
            done = export(trained, name, path)
            error, allowed = on_photo(trained, done)
            verdict = check(done, photo, expected)
        except PtxError as failure:
            yield case.name, name, *["-"] * 5, seconds(started), f"FAILS: {failure}"
            continue
        yield (
            case.name,
            name,
            f"{done.size / 1e6:.1f} MB",
            f"{error:.1e}",
            f"{allowed:.1e}",
            f"{done.error:.1e}",
            f"{done.tolerance:.1e}",
            seconds(started),
            verdict,
        )
        path.unlink()


def on_photo(trained: TrainedModel, done: VerifiedExport) -> tuple[float, float]:
    """The file's error against float64 on the photograph, and what is allowed there."""
    with load(done.path, trust=True, device="cpu") as predictor:
        logits = predictor.run(trained.samples)["logits"]
    exact = trained.equivalence_check.reference.exact(trained.samples)["logits"]
    return float(np.abs(logits - exact).max()), trained.equivalence_check.tolerances[
        "real", "logits"
    ]


def check(done: VerifiedExport, photo: Path, expected: tuple[str, float]) -> str:
    """Whether the file's own prediction of the photograph is that of torchvision and PyTorch."""
    with load(done.path, trust=True, device="cpu") as predictor:
        got = predictor.predict(photo)
    label, score = expected
    assert got.score is not None
    if got.label != label or abs(got.score - score) > 1e-4 * score:
        return f"FAILS: {got.label} ({got.score:.6f}) where PyTorch says {label} ({score:.6f})"
    return "agrees"


def seconds(started: float) -> str:
    return f"{time.perf_counter() - started:.0f} s"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--formats", nargs="+", default=list(EXPORTERS), choices=EXPORTERS)
    options = parser.parse_args(arguments)
    print(ROW.format("", "", "", "photo", "", "grid", "", "", ""))
    print(
        ROW.format("network", "format", "size", "error", "allowed", "error", "allowed", "time", "")
    )
    failed = 0
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters, about themselves
        photo = make_photo(Path(name) / "photo.jpg")
        for network in options.networks:
            for row in rows(make_case(network), options.formats, photo, Path(name)):
                print(ROW.format(*row), flush=True)
                failed += row[-1] != "agrees"
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
