"""Networks with a free height and width: what is exported is right at all sizes that it accepts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from ptx.export import describe, export
from ptx.infer import ArtifactError, InputError, UsageError, load
from ptx.infer.backends.ort.cpu import import_onnxruntime

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters, about themselves

FREE = ["height", "width"]
EIGHTHS = [["height", 8, 64, 8], ["width", 8, 0, 8]]


class UNet(nn.Module):
    """Halves an image three times, doubles it again and joins what has the same size."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        widths = (3, 4, 6, 8)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, a, 2, stride=2) for a in reversed(widths[1:]))
        self.join = nn.ModuleList(
            nn.Conv2d(2 * b, a, 3, padding=1) for a, b in zip((4, 4, 6), widths[1:], strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        skipped = []
        for layer in self.down:
            skipped.append(functional.relu(layer(x)))
            x = functional.max_pool2d(skipped[-1], 2)
        for up, join in zip(self.up, reversed(self.join), strict=True):
            x = join(torch.cat([up(x), skipped.pop()], 1))
        return x


class FullyConvolutional(nn.Module):
    """Scores at a quarter of the image's size."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 5, 3, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.layers(x)
        return scores


class Enlarged(FullyConvolutional):
    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(super().forward(x), size=x.shape[-2:], mode="bilinear")


class SuperResolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(self.layer(x), 2)


class PaddedToEven(FullyConvolutional):
    """Pads an odd width: two graphs, one for odd and one for even widths."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1] % 2:
            x = functional.pad(x, (0, 1))
        return super().forward(x).mean((2, 3))


def spec(axes: list[Any], output: list[Any] | None = None, channels: int = 4) -> dict[str, Any]:
    return {
        "signature": {
            "inputs": {"image": ["float32", ["batch", 3, *axes]]},
            "outputs": {"map": ["float32", ["batch", channels, *(output or FREE)]]},
        }
    }


CASES = {
    "joined": (UNet, spec(EIGHTHS), [(8, 16), (64, 40), (24, 104)]),
    "enlarged": (Enlarged, spec(FREE, channels=5), [(1, 7), (33, 40), (101, 57)]),
    "a quarter": (
        FullyConvolutional,
        spec([["height", 4, 0, 4], ["width", 4, 0, 4]], ["height/4", "width/4"], 5),
        [(4, 8), (100, 44)],
    ),
    "doubled": (SuperResolution, spec(FREE, ["2*height", "2*width"], 3), [(1, 5), (50, 33)]),
}


@pytest.mark.parametrize("format_name", ["onnx", "torchscript", "pt2"])
@pytest.mark.parametrize("case", CASES)
def test_a_file_is_right_at_all_sizes_that_it_accepts(
    case: str, format_name: str, tmp_path: Path
) -> None:
    make, described, sizes = CASES[case]
    network = make().eval()
    export(network, format_name, tmp_path / "file", **described)
    predictor = load(tmp_path / "file", trust=True)
    for height, width in sizes:
        images = torch.randn(2, 3, height, width)
        with torch.no_grad():
            expected = network(images).numpy()
        actual = predictor.run({"image": images.numpy()})["map"]
        np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", [(12, 16), (72, 16), (8, 20)])
def test_other_sizes_are_refused_by_ptx_and_by_the_file_itself(
    size: tuple[int, int], tmp_path: Path
) -> None:
    export(UNet(), "onnx", tmp_path / "net.onnx", **spec(EIGHTHS))
    inputs = {"image": np.zeros((1, 3, *size), np.float32)}
    with pytest.raises(InputError, match="multiples of 8") as caught:
        load(tmp_path / "net.onnx").run(inputs)
    assert caught.value.code == "E-SHAPE"
    session = import_onnxruntime().InferenceSession(tmp_path / "net.onnx")
    with pytest.raises(Exception, match=r"ptx\.limits\.image"):
        session.run(None, inputs)


def test_a_network_that_fails_at_free_sizes_names_the_sizes_to_state() -> None:
    with pytest.raises(
        ArtifactError, match=r'\["height", 8, 0, 8\], \["width", 8, 0, 8\]'
    ) as caught:
        describe(UNet(), **spec(FREE))
    assert caught.value.code == "E-NETWORK"


def test_stated_sizes_at_which_the_network_fails_are_corrected() -> None:
    stated = spec([["height", 4, 60, 4], ["width", 8, 0, 8]])
    with pytest.raises(ArtifactError, match=r'\["height", 8, 56, 8\], \["width", 8, 0, 8\]'):
        describe(UNet(), **stated)


def test_a_network_that_fails_everywhere_gets_no_suggestion() -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("never")

    with pytest.raises(ArtifactError, match="never") as caught:
        describe(Fails(), **spec(FREE))
    assert "state" not in str(caught.value)


def test_two_graphs_for_odd_and_even_sizes_name_the_multiple(tmp_path: Path) -> None:
    def pooled(width: Any) -> dict[str, Any]:
        axes = {"image": ["float32", ["batch", 3, "height", width]]}
        return {"signature": {"inputs": axes, "outputs": {"map": ["float32", ["batch", 5]]}}}

    with pytest.raises(ArtifactError, match=r'\["width", 2, 0, 2\]') as caught:
        export(PaddedToEven(), "onnx", tmp_path / "net.onnx", **pooled("width"))
    assert caught.value.code == "E-EXPORT-AXES"
    export(PaddedToEven(), "onnx", tmp_path / "net.onnx", **pooled(["width", 2, 0, 2]))


SEGMENTATION = {  # of pictures of any size: without `size` in the preprocessing
    **spec(EIGHTHS),
    "task": "segmentation",
    "labels": ["sky", "sea", "land", "road"],
    "preprocessing": {"kind": "rgb-image"},
}


def test_a_class_map_has_the_size_that_the_network_sees(tmp_path: Path) -> None:
    export(UNet(), "onnx", tmp_path / "net.onnx", **SEGMENTATION)
    predictor = load(tmp_path / "net.onnx")
    pictures = [Image.new("RGB", size, "navy") for size in [(50, 30), (640, 320), (50, 30), (9, 5)]]
    single = [predictor.predict(picture) for picture in pictures]
    maps = [one.class_map for one in single if one.class_map is not None]
    assert [one.shape for one in maps] == [(32, 48), (64, 128), (32, 48), (8, 16)]
    for one, other in zip(maps, predictor.predict_many(pictures), strict=True):
        np.testing.assert_array_equal(one, other.class_map)


def test_a_page_needs_pictures_of_one_size(tmp_path: Path) -> None:
    plain = {**SEGMENTATION, "task": "passthrough", "labels": ()}
    with pytest.raises(UsageError, match="state `size` in the preprocessing"):
        export(UNet(), "html", tmp_path / "net.html", **plain)
