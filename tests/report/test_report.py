"""ptx report"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.infer.preprocessing.gray_image import pixels_as_png
from ptx.report.benchmark_file import COLUMNS, read_speeds
from ptx.report.confusion import confusions_view, matrix_view
from ptx.report.page import image_url, read_template

HEADER = ",".join(COLUMNS) + "\n"
PROCESS = "0.02,50,20,3,90,80,1e-06,yes,onnxruntime 1.31,default,a machine\n"
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A page's text and tags; an unbalanced page is an error."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(source)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.tags)


def parts() -> Any:
    """The macros of the page."""
    return read_template("parts").module


@pytest.fixture
def root(workspace: Path, tmp_path: Path) -> Path:
    """A copy of the workspace that may be written to."""
    return Path(shutil.copytree(workspace, tmp_path / "runs"))


def write(ptx: Any, model: str, root: Path, *options: object) -> Page:
    done = ptx("report", model, "--workspace", root, *options)
    assert done.code == 0, done.err
    return Page((root / model / "report.html").read_text("utf-8"))


@pytest.fixture(scope="module")
def classifier(ptx: Any, workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of convnet, with a benchmark's figures, in a workspace of its own."""
    root = shutil.copytree(workspace, tmp_path_factory.mktemp("classifier") / "runs")
    folder = root / "convnet"
    (folder / "benchmark.csv").write_text(
        HEADER
        + "".join(f"ort-cpu,cpu,{n},{90 * n},{99 * n},120.5,{1e4 * n},{PROCESS}" for n in (1, 8))
    )
    write(ptx, "convnet", root)
    return folder / "report.html"


def test_the_page_of_a_classifier_has_every_part(classifier: Path) -> None:
    page = Page(classifier.read_text("utf-8"))
    for heading in (
        "Training",
        "most confidently wrong pictures",
        "Agreement",
        "Error of each node",
        "Speed",
        "Provenance",
    ):
        assert heading in page.text
    assert "features.3" in page.text  # the module of a node
    assert page.count("svg") == 5
    assert page.count("img") == 24
    assert "5 of 5" in page.text
    assert "ort-cuda" in page.text
    assert "0.720" in page.text  # ms, of eight rows at once
    assert "onnxruntime 1.31; a machine; threads: default" in page.text


def test_the_page_needs_nothing_but_itself(classifier: Path) -> None:
    source = classifier.read_text("utf-8")
    page = Page(source)
    assert page.count("script") == page.count("link") == 0
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "data:").startswith("data:"), tag
    assert not re.search(r"url\((?!#)|@import|http-equiv", source)
    assert str(classifier.parent.parent) not in source


def test_a_regression_has_no_confusion_matrix_and_its_largest_errors(ptx: Any, root: Path) -> None:
    page = write(ptx, "linear-model", root)
    assert "has no classes" in page.text
    assert "The largest errors" in page.text
    assert "ptx benchmark linear-model" in page.text
    assert page.count("img") == 0


@pytest.mark.parametrize("model", ["name-classifier", "char-rnn", "diabetes"])
def test_texts_symbols_and_columns_have_their_page(
    ptx: Any, checkpoint: Callable[[str], Path], tmp_path: Path, model: str
) -> None:
    (tmp_path / model).mkdir()
    shutil.copy(checkpoint(model), tmp_path / model / "checkpoint.pt")
    options: list[object] = []
    if model == "name-classifier":
        few = tmp_path / "names.csv"
        names = [(f"Satoshi{end}", "Japanese") for end in "abcdefghij"]
        names += [(f"Khoury{end}", "Arabic") for end in "abcdefghij"]
        few.write_text("".join(f"{name},{language}\n" for name, language in names))
        options = ["--data", few]
    page = write(ptx, model, tmp_path, *options)
    shown = {"name-classifier": "Khoury", "char-rnn": "hello", "diabetes": "glucose"}[model]
    assert shown in page.text
    assert "The checkpoint has no training history" in page.text
    assert "ort-cpu was skipped: there is no onnx file" in page.text


def test_labels_are_shown_and_never_interpreted(ptx: Any, tmp_path: Path) -> None:
    pictures = Path(__file__).parents[1] / "pictures"
    labels = ("<script>alert(1)<", "a&b \"quoted'")
    for label, name in zip(labels, ("mnist-7.png", "seven-on-paper.png"), strict=True):
        folder = tmp_path / "own" / label
        folder.mkdir(parents=True)
        for copy in range(5):
            shutil.copy(pictures / name, folder / f"{copy}.png")
    options = ("--data", tmp_path / "own", "--workspace", tmp_path)
    assert ptx("train", "basic-cnn", "--epochs", 1, *options).code == 0
    page = write(ptx, "basic-cnn", tmp_path, "--data", tmp_path / "own")
    assert page.count("script") == 0
    assert all(label in page.text for label in labels)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("backend,batch\nort-cpu,1\n", "line 2 has no device"),
        (HEADER + "ort-cpu,cpu,1,fast,2,3,4," + PROCESS, "could not convert"),
        (HEADER + "ort-cpu,cpu,1,inf,2,3,4," + PROCESS, "line 2: p50_us is inf"),
        (HEADER + "ort-cpu,cpu,0,1,2,3,4," + PROCESS, "line 2: batch is 0; expected more than 0"),
    ],
)
def test_a_broken_benchmark_is_refused_with_its_line(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_speeds(text)


def test_a_broken_benchmark_is_named_on_the_page(ptx: Any, root: Path) -> None:
    text = HEADER + "ort-cpu,cpu,1,<b>,2,3,4," + PROCESS
    (root / "linear-model" / "benchmark.csv").write_text(text)
    page = write(ptx, "linear-model", root)
    reason = "could not convert string to float: '<b>'"
    assert f"benchmark.csv cannot be used: {reason}" in page.text
    assert "Run ptx benchmark linear-model" in page.text


def test_of_many_labels_the_most_frequent_confusions_are_listed() -> None:
    labels = [f"class <{number}>" for number in range(40)]
    matrix = np.eye(40, dtype=np.int64) * 5
    matrix[3, 7], matrix[9, 1] = 4, 2
    page = Page(str(parts().confusion(None, confusions_view(matrix, labels), "")))
    assert page.count("tr") == 3
    assert page.text.index("class <3>class <7>49") < page.text.index("class <9>class <1>27")


def test_long_labels_have_numbers_above_their_columns_and_are_shortened() -> None:
    labels = ["a" * 30, "b" * 300, "short"]
    matrix = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 1000]])
    page = Page(str(parts().confusion(matrix_view(matrix, labels), None, "")))
    assert "numbered like the rows" in page.text
    assert "b" * 23 + "…" in page.text
    assert "b" * 24 not in page.text
    same = [
        attributes for tag, attributes in page.tags if "same" in (attributes.get("class") or "")
    ]
    assert len(same) == 3
    assert "1000" in page.text


def test_without_a_checkpoint_the_command_that_makes_one_is_named(ptx: Any, tmp_path: Path) -> None:
    done = ptx("report", "convnet", "--workspace", tmp_path)
    assert done.code == 4
    assert "`ptx train convnet --workspace" in done.err


def test_a_page_that_cannot_be_written_is_exit_5_before_any_work(ptx: Any, root: Path) -> None:
    done = ptx("report", "linear-model", "--output", root, "--workspace", root)
    assert done.code == 5
    assert "data" not in done.err.replace("benchmark", "")


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (14, 14, 3)])
def test_a_picture_on_the_page_is_the_pixels(shape: tuple[int, ...]) -> None:
    import base64
    import io

    from PIL import Image

    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    content = base64.b64decode(image_url(pixels_as_png(pixels)).partition(",")[2])
    assert (np.asarray(Image.open(io.BytesIO(content))) == pixels.squeeze()).all()
