"""The models that go into a repository: pictures, sequences, words, rows, photographs."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ptx.export.triton import write_repository
from ptx.infer import read_artifact

from .server import MISSING, TRITON, Ports, triton_server

PICTURES = Path(__file__).parents[2] / "pictures"
CATALOG = ("convnet", "lstm", "name-classifier", "diabetes")
PHOTO = {
    "kind": "rgb-image",
    "resize": 72,
    "size": [64, 64],
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
}


def photograph(seed: int) -> bytes:
    """A JPEG of 90×120."""
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((120, 90)).save(buffer, format="JPEG")
    return buffer.getvalue()


_DIGITS: list[Any] = [path.read_bytes() for path in sorted(PICTURES.glob("*.png"))]
VALUES: dict[str, list[Any]] = {
    "convnet": _DIGITS,
    "lstm": _DIGITS,
    "name-classifier": ["Müller", "Wang", "O'Neill", "Łukasiewicz"],
    "diabetes": ["6,148,72,35,0,33.6,0.627,50", "1,85,66,29,0,26.6,0.351,31"],
    "squeeze": [photograph(seed) for seed in range(3)],
    "mlp": _DIGITS,
}


@pytest.fixture(scope="session")
def squeeze(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SqueezeNet 1.1 of torchvision for photographs, seeded."""
    import torch
    from torchvision.models import squeezenet1_1

    from ptx.export import describe, export

    torch.manual_seed(0)
    described = describe(
        squeezenet1_1(num_classes=4),
        name="squeeze",
        task="classification",
        signature={
            "inputs": {"image": ["float32", ["batch", 3, 64, 64]]},
            "outputs": {"logits": ["float32", ["batch", 4]]},
        },
        preprocessing=PHOTO,
        labels=("ant", "bee", "cat", "dog"),
        examples=VALUES["squeeze"],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        return export(described, "onnx", tmp_path_factory.mktemp("squeeze") / "squeeze.onnx").path


@pytest.fixture(scope="session")
def pixels(checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`mlp` with int8 weights and pixels as its input."""
    from ptx.export import embed_preprocessing, export, quantize_weights, read_model

    trained = embed_preprocessing(quantize_weights(read_model(checkpoint("mlp")), "int8"))
    return export(trained, "onnx", tmp_path_factory.mktemp("pixels") / "mlp.onnx").path


@pytest.fixture(scope="session")
def models(artifact: Callable[[str, str], Path], squeeze: Path, pixels: Path) -> dict[str, Path]:
    """The exported files by name."""
    plain = {name: artifact(name, "onnx") for name in CATALOG}
    return plain | {"squeeze": squeeze, "mlp": pixels}


@pytest.fixture(scope="session")
def triton(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    """A real tritonserver that serves all of them."""
    if not TRITON:
        pytest.skip(MISSING)
    folder = tmp_path_factory.mktemp("triton")
    for path in models.values():
        write_repository(read_artifact(path), folder / "repository")
    with triton_server(folder / "repository", folder) as ports:
        yield ports
