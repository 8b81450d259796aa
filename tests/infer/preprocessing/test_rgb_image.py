"""Photographs: the numbers that torchvision's documented transforms give, bit for bit."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms._presets import ImageClassification
from torchvision.transforms.functional import InterpolationMode

from ptx.infer.errors import ArtifactError, InputError
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.preprocessing.rgb_image import RgbPreprocessing
from ptx.infer.signature import Signature

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
RESIZES = [(256, 224), (232, 224), (236, 224), (240, 240)]  # of torchvision's classifiers; no crop


def signature(*axes: int | str, dtype: str = "float32") -> Signature:
    return Signature.from_data(
        {"inputs": {"image": [dtype, list(axes)]}, "outputs": {"y": ["float32", ["batch", 2]]}}
    )


def photo(*axes: int | str, **changes: Any) -> RgbPreprocessing:
    settings = {"size": [8, 8], "resize": 10, **changes}
    return RgbPreprocessing(signature(*(axes or ("batch", 3, 8, 8))), **settings)


def scene(width: int, height: int, *, seed: int = 0) -> Image.Image:
    """Noise over gradients: every pixel of a resized copy depends on the filter."""
    random = np.random.default_rng(seed).integers(0, 80, (height, width, 3))
    y, x = np.mgrid[:height, :width]
    slopes = np.stack([x * 175 // width, y * 175 // height, (x + y) * 175 // (width + height)], -1)
    return Image.fromarray((random + slopes).astype(np.uint8))


def jpeg(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("resize", "crop"), RESIZES)
def test_it_is_torchvision_s_preset_bit_for_bit(resize: int, crop: int, interpolation: str) -> None:
    documented = ImageClassification(
        crop_size=crop,
        resize_size=resize,
        mean=MEAN,
        std=STD,
        interpolation=InterpolationMode(interpolation),
    )
    ours = photo(
        "batch",
        3,
        crop,
        crop,
        size=[crop, crop],
        resize=resize,
        interpolation=interpolation,
        mean=MEAN,
        std=STD,
    )
    # Wide, tall, square, smaller than the crop, of its size; margins whose halves round up and down.
    sizes = [(517, 389), (301, 433), (333, 333), (61, 97), (crop, crop)]
    sizes += [(resize, crop + 40 + odd) for odd in (1, 3)]
    for width, height in sizes:
        image = scene(width, height)
        data = jpeg(image)
        expected = documented(Image.open(io.BytesIO(data))).unsqueeze(0).numpy()
        got = ours.collate([ours.transform(data)])["image"]
        assert got.dtype == np.float32
        assert got.tobytes() == np.ascontiguousarray(expected).tobytes(), (width, height)


def test_a_batch_holds_each_picture_in_its_place() -> None:
    ours = photo(mean=MEAN, std=STD)
    samples = [ours.transform(np.asarray(scene(20, 13, seed=seed))) for seed in range(3)]
    assert all(sample.dtype == np.uint8 and sample.shape == (8, 8, 3) for sample in samples)
    batch = ours.collate(samples)["image"]
    for sample, row in zip(samples, batch, strict=True):
        assert np.array_equal(ours.collate([sample])["image"][0], row)
        scaled = torch.tensor(sample).permute(2, 0, 1).float() / 255
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        assert np.array_equal(((scaled - mean) / std).numpy(), row)


def test_channels_may_stand_last_and_the_batch_second() -> None:
    image = np.asarray(scene(20, 13))
    first, last = photo(), photo("batch", 8, 8, 3)
    expected = first.collate([first.transform(image)])["image"]
    assert np.array_equal(
        last.collate([last.transform(image)])["image"], expected.transpose(0, 2, 3, 1)
    )
    second = photo(3, "batch", 8, 8)
    got = second.collate([second.transform(image)])["image"]
    assert got.flags.c_contiguous
    assert np.array_equal(got, expected.transpose(1, 0, 2, 3))


def test_blue_may_come_first() -> None:
    image = np.asarray(scene(20, 13))
    rgb, bgr = photo(mean=[0.1, 0.2, 0.3]), photo(mean=[0.3, 0.2, 0.1], colours="BGR")
    expected = rgb.collate([rgb.transform(image)])["image"]
    assert np.array_equal(bgr.collate([bgr.transform(image)])["image"], expected[:, ::-1])


def test_a_model_with_one_channel_gets_gray() -> None:
    image = scene(20, 13)
    ours = photo("batch", 1, 8, 8)
    got = ours.collate([ours.transform(np.asarray(image))])["image"]
    assert got.shape == (1, 1, 8, 8)
    assert np.array_equal(
        got, ours.collate([ours.transform(np.asarray(image.convert("L")))])["image"]
    )


def test_both_sides_may_be_resized_without_a_crop() -> None:
    image = scene(40, 20)
    ours = photo(resize=[8, 8])
    expected = np.asarray(image.resize((8, 8), Image.Resampling.BILINEAR))
    assert np.array_equal(ours.transform(np.asarray(image)), expected)


def test_what_is_transparent_is_white_and_an_exif_turn_is_made() -> None:
    clear = np.zeros((10, 10, 4), np.uint8)
    clear[:5] = (200, 100, 50, 255)
    ours = photo("batch", 3, 10, 10, size=[10, 10])
    pixels = ours.transform(clear)
    assert (pixels[0, 0].tolist(), pixels[9, 9].tolist()) == ([200, 100, 50], [255, 255, 255])
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    buffer = io.BytesIO()
    Image.fromarray(clear).save(buffer, format="PNG", exif=exif)
    assert np.array_equal(ours.transform(buffer.getvalue()), pixels[::-1, ::-1])


def test_every_form_of_a_photograph_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    scene(20, 13).save(path)
    forms = [
        path,
        str(path),
        path.read_bytes(),
        io.BytesIO(path.read_bytes()),
        Image.open(path),
        np.asarray(scene(20, 13)),
    ]
    assert len({photo().transform(form).tobytes() for form in forms}) == 1


def test_a_ready_sample_passes_and_another_float_array_does_not() -> None:
    ready = np.random.default_rng(0).standard_normal((3, 8, 8))
    ours = photo(mean=MEAN, std=STD)
    assert np.array_equal(
        ours.collate([ours.transform(ready)])["image"][0], ready.astype(np.float32)
    )
    with pytest.raises(
        InputError, match=r"shape \(8, 8, 3\); expected one ready sample \(3, 8, 8\)"
    ):
        ours.transform(ready.transpose(1, 2, 0))


def test_a_thread_of_a_picture_is_refused_before_it_is_blown_up() -> None:
    with pytest.raises(InputError, match="would be 5000000 pixels long") as caught:
        photo().transform(np.zeros((1, 500_000), np.uint8))
    assert caught.value.code == "E-IMG-TOO-LARGE"


@pytest.mark.parametrize(
    ("resize", "limits", "picture", "expected"),
    [
        (None, {}, (50, 30), (50, 30)),
        (60, {}, (50, 30), (100, 60)),
        ([40, 20], {}, (50, 30), (20, 40)),
        (None, {"height": [8, 0, 8], "width": [8, 0, 8]}, (50, 30), (48, 32)),
        (None, {"height": [8, 24, 8]}, (60, 30), (48, 24)),
        (None, {"width": [100]}, (50, 30), (100, 60)),
        (60, {"width": [1, 50]}, (50, 30), (50, 30)),
    ],
)
def test_a_picture_of_any_size_keeps_its_proportions(
    resize: Any, limits: dict[str, Any], picture: tuple[int, int], expected: tuple[int, int]
) -> None:
    free = signature("batch", 3, "height", "width")
    settings = {"kind": "rgb-image"} | ({} if resize is None else {"resize": resize})
    opened = open_preprocessing(settings, Signature.from_data({**free.to_data(), "axes": limits}))
    image = scene(*picture)
    pixels = opened.transform(image)
    assert pixels.shape == (*expected[::-1], 3)
    if resize is None and not limits:
        np.testing.assert_array_equal(pixels, np.asarray(image))


@pytest.mark.parametrize(
    ("changes", "axes", "message"),
    [
        ({"resize": None}, (), "resize is missing"),
        ({"size": None}, (), "setting 'size' is missing"),
        ({"size": [8]}, (), "not valid"),
        ({"size": [8, 8.5]}, (), r"size is \[8, 8.5\]"),
        ({"size": [9, 9]}, (), r"9×9 with 1 or 3 channels does not match \(batch, 3, 8, 8\)"),
        ({"resize": 7}, (), "resize is 7; expected at least size, 8 by 8"),
        ({"resize": True}, (), "not valid"),
        ({"resize": [10, 7]}, (), r"resize is \[10, 7\]; expected at least size"),
        ({"resize": 10_000}, (), "resize is 10000; expected at most"),
        ({"interpolation": "nearest"}, (), "interpolation is 'nearest'; known: bilinear, bicubic"),
        ({"colours": "GRB"}, (), "colours is 'GRB'; known: RGB, BGR"),
        ({"mean": [0.5]}, (), r"mean is \[0.5\]; expected 3 finite numbers"),
        ({"mean": [0.5, 1e40, 0.5]}, (), "expected 3 finite numbers"),
        ({"std": [1, 0, 1]}, (), "expected positive numbers"),
        ({"std": ["a", "b", "c"]}, (), "not valid"),
        ({}, ("batch", 4, 8, 8), "does not match"),
        ({}, ("batch", 192), "does not match"),
        ({"resize_mode": "mnist"}, (), "not valid"),
    ],
)
def test_settings_that_do_not_fit_are_named(
    changes: dict[str, Any], axes: tuple[Any, ...], message: str
) -> None:
    data = {"kind": "rgb-image", "size": [8, 8], "resize": 10, **changes}
    with pytest.raises(ArtifactError, match=message):
        open_preprocessing(data, signature(*(axes or ("batch", 3, 8, 8))))


def test_pixels_take_one_float32_input() -> None:
    with pytest.raises(ArtifactError, match="float32"):
        open_preprocessing(
            {"kind": "rgb-image", "size": [8, 8], "resize": 10},
            signature("batch", 3, 8, 8, dtype="int64"),
        )
