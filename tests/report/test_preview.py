"""ptx predict --output preview.png, --show"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ptx.infer import load
from ptx.infer.preprocessing import detect_digits_in
from ptx.report import preview


@pytest.fixture(autouse=True)
def no_display(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nothing is opened; what would have been is listed."""
    opened: list[str] = []
    monkeypatch.setattr("click.launch", opened.append)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return opened


def pixels(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(path).convert("RGB"))


def box(sheet: np.ndarray[Any, Any], column: int) -> np.ndarray[Any, Any]:
    """What is inside the frame of the given picture, or of the one that the model saw."""
    x = preview.GAP + column * (preview.SIDE + preview.GAP)
    y = preview.GAP + preview.HEAD
    return sheet[y + 1 : y + preview.SIDE - 1, x + 1 : x + preview.SIDE - 1]


def test_the_picture_that_the_model_saw_stands_beside_the_given_one(
    ptx: Any, workspace: Path, seven: Path, tmp_path: Path
) -> None:
    target = tmp_path / "preview.png"
    done = ptx("predict", seven, "--workspace", workspace, "--output", target)
    assert done.code == 0, done.err
    assert done.out.startswith(f"{seven}: 7 (")
    assert f"{target}: 1 of 1 input drawn" in done.err
    sheet = pixels(target)
    with load(workspace / "convnet" / "convnet.onnx", backend="ort-cpu") as predictor:
        seen = predictor.preprocessing.transform(seven)
    times = preview.SIDE // 28
    assert (box(sheet, 1)[..., 0] == np.kron(seen, np.ones((times, times)))[1:-1, 1:-1]).all()
    given = box(sheet, 0)
    assert given.mean() > 200  # paper
    assert given.min() < 100  # and ink


def test_the_first_bar_is_as_long_as_the_score(
    ptx: Any, workspace: Path, seven: Path, tmp_path: Path
) -> None:
    import json

    target = tmp_path / "preview.PNG"
    done = ptx("predict", seven, "--json", "--workspace", workspace, "--output", target)
    answer = json.loads(done.out)
    assert len(answer["top"]) == preview.BARS
    first = tuple(int(preview.FIRST[at : at + 2], 16) for at in (1, 3, 5))
    filled = (pixels(target) == first).all(axis=2).sum(axis=1).max()
    assert filled == pytest.approx(answer["score"] * (preview.TEXT - 166), abs=2)


def test_of_many_inputs_the_first_are_drawn_and_all_answered(
    ptx: Any, workspace: Path, seven: Path, tmp_path: Path
) -> None:
    target = tmp_path / "preview.png"
    small = seven.parent / "mnist-7.png"
    given = [small, tmp_path / "missing.png", *[small] * 28]
    done = ptx("predict", *given, "--workspace", workspace, "--output", target)
    assert done.code == 4
    assert len(done.out.splitlines()) == 29
    assert f"{preview.SHOWN} of 30 inputs drawn" in done.err


def test_forked_readers_do_not_take_the_inputs_away(
    ptx: Any, workspace: Path, seven: Path, tmp_path: Path
) -> None:
    for number in range(130):
        shutil.copy(seven.parent / "mnist-7.png", tmp_path / f"{number:03}.png")
    target = tmp_path / "preview.png"
    done = ptx("predict", tmp_path, "--workspace", workspace, "--output", target)
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 130
    assert (box(pixels(target), 1) > 200).any()


@pytest.mark.parametrize("value", ["a-picture.npy", "-"])
def test_arrays_and_standard_input_are_drawn_too(
    ptx: Any, workspace: Path, seven: Path, tmp_path: Path, value: str
) -> None:
    given: object = value
    if value != "-":
        given = tmp_path / value
        digit = np.asarray(Image.open(seven.parent / "mnist-7.png"))
        np.save(given, np.stack([digit, digit]))
    target = tmp_path / "preview.png"
    options = ("--workspace", workspace, "--output", target)
    done = ptx("predict", given, *options, stdin=seven.read_bytes())
    assert done.code == 0, done.err
    assert (box(pixels(target), 0) != 255).any()
    assert (box(pixels(target), 1) > 200).any()


def test_numbers_and_texts_have_no_pictures(
    ptx: Any, workspace: Path, artifact: Any, tmp_path: Path
) -> None:
    target = tmp_path / "preview.png"
    options = ("--workspace", workspace, "--output", target)
    assert ptx("predict", "4", "5", "--model", "linear-model", *options).code == 0
    assert pixels(target).shape[0] < 100
    model = artifact("name-classifier", "onnx")
    done = ptx("predict", "Müller", "王", "x" * 100, "--model", model, *options)
    assert done.code == 0, done.err
    assert pixels(target).shape[1] < preview.MAX_WIDTH


def test_show_without_a_display_says_where_the_picture_is(
    ptx: Any, workspace: Path, seven: Path, tmp_path: Path, no_display: list[str]
) -> None:
    model = workspace / "convnet" / "convnet.onnx"
    done = ptx("predict", seven, "--model", model, "--show", "--workspace", tmp_path / "runs")
    target = tmp_path / "runs" / "preview.png"
    assert done.code == 0, done.err
    assert target.exists()
    assert f"there is no display here: open {target}" in done.err
    assert no_display == []


def test_show_opens_the_picture_where_a_display_is(
    ptx: Any,
    workspace: Path,
    seven: Path,
    tmp_path: Path,
    no_display: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    target = tmp_path / "preview.png"
    ptx("predict", seven, "--show", "--output", target, "--workspace", workspace)
    assert no_display == [str(target)]


def test_a_preview_needs_pillow_alone(
    child: Any, workspace: Path, seven: Path, tmp_path: Path
) -> None:
    child(
        "import sys\n"
        "for name in ('torch', 'torchvision', 'onnx', 'matplotlib', 'tqdm'):\n"
        "    sys.modules[name] = None\n"
        "from ptx.cli.main import _run\n"
        "sys.argv = ['ptx', 'predict', *sys.argv[1:]]\n"
        "assert _run() == 0",
        seven,
        "--workspace",
        workspace,
        "--output",
        tmp_path / "preview.png",
    )
    assert (tmp_path / "preview.png").exists()


def test_one_prediction_without_a_picture_imports_nothing_for_it(
    child: Any, workspace: Path, seven: Path
) -> None:
    done = child(
        "import sys\nfrom ptx.cli.main import _run\n"
        "sys.argv = ['ptx', 'predict', *sys.argv[1:]]\n"
        "assert _run() == 0\n"
        "names = ('ptx.report.preview', 'tqdm', 'PIL.ImageDraw', 'PIL.ImageFont')\n"
        "print([name for name in names if name in sys.modules])",
        seven,
        "--workspace",
        workspace,
    )
    assert done.stdout.splitlines()[-1] == "[]"


FIRST = tuple(int(preview.FIRST[at : at + 2], 16) for at in (1, 3, 5))


@pytest.fixture
def two_sevens(seven: Path, tmp_path: Path) -> Path:
    sheet = Image.new("L", (280, 280), 245)
    ink = Image.open(seven.parent / "mnist-7.png").resize((120, 120))
    for x in (10, 150):
        sheet.paste(20, (x, 80), ink.point([255 * (value > 100) for value in range(256)]))
    sheet.save(tmp_path / "77.png")
    return tmp_path / "77.png"


def boxed(given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The columns of a given picture that a box's sides stand in."""
    blue = np.abs(given.astype(int) - FIRST).max(axis=2) < 90
    return np.flatnonzero(blue.sum(axis=0) > 20)


def test_each_digit_of_a_picture_is_drawn_with_its_box(
    ptx: Any, workspace: Path, two_sevens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, searched = tmp_path / "preview.png", []

    def find(*values: Any) -> Any:
        searched.append(values)
        return detect_digits_in(*values)

    monkeypatch.setattr(preview, "detect_digits_in", find)
    done = ptx("predict", two_sevens, "--all", "--workspace", workspace, "--output", target)
    assert f"{target}: 2 of 2 digits drawn" in done.err
    columns = boxed(box(pixels(target), 0))
    assert columns.min() < 70 > columns.max() - 10  # the left one's box, and no other
    assert box(pixels(target), 1).max() > 200
    assert len(searched) == 1


def test_a_picture_that_is_refused_for_its_digits_shows_their_boxes(
    ptx: Any, workspace: Path, two_sevens: Path, tmp_path: Path
) -> None:
    target = tmp_path / "preview.png"
    done = ptx("predict", two_sevens, "--workspace", workspace, "--output", target)
    assert done.code == 4
    assert f"{target}: 1 of 1 input drawn" in done.err
    columns = boxed(box(pixels(target), 0))
    assert columns.min() < 30
    assert columns.max() > 110
    assert (box(pixels(target), 1) < 128).any()  # the error, in words
