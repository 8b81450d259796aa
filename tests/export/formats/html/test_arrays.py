"""A page for a model of several arrays: a field for each, in Chromium."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ptx.export import export
from ptx.infer import load

Show = Callable[..., Any]
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("py_mini_racer", reason="mini-racer is not installed")
ROWS, WEIGHTS, PLACE = "#numbers", "#numbers-1", "#numbers-2"
TOLD = "total (1, 3): 10, 13, 16"  # of [[1, 2, 3], [4, 5, 6]] with the weights 1 and 2, and 1 more
GIVEN = {ROWS: "[[1, 2, 3], [4, 5, 6]]", WEIGHTS: "1, 2", PLACE: "1"}


class Weighed(nn.Module):
    """The rows' sum by their weights, and the place."""

    def forward(self, rows: Tensor, weights: Tensor, place: Tensor) -> Tensor:
        total: Tensor = (rows * weights[..., None]).sum(1) + place[:, None].float()
        return total


@pytest.fixture(scope="module")
def page_of_three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(
        Weighed(),
        "html",
        tmp_path_factory.mktemp("arrays") / "weighed.html",
        name="weighed",
        signature={
            "inputs": {
                "rows": ["float32", ["batch", "time", 3]],
                "weights": ["float32", ["batch", "time"]],
                "place": ["int64", ["batch"], [0, 4]],
            },
            "outputs": {"total": ["float32", ["batch", 3]]},
        },
    ).path


def expect(page: Any, selector: str) -> Any:
    return playwright.expect(page.locator(selector))


def fill(page: Any, given: dict[str, str]) -> None:
    for field, text in given.items():
        page.locator(field).fill(text)
    page.locator("#array > button").click()


def npy(array: Any) -> dict[str, Any]:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return {"name": "some.npy", "mimeType": "", "buffer": buffer.getvalue()}


def test_each_array_has_a_field_with_its_name_shape_and_type(
    page_of_three: Path, show: Show
) -> None:
    page = show(page_of_three)
    expect(page, "#verification").to_contain_text("✓ Computed here")
    for name in ("rows: float32 (time, 3)", "weights: float32 (time)", "place: int64 ()"):
        expect(page, "#arrays").to_contain_text(name)
        field = page.get_by_label(name, exact=True)
        assert field.evaluate("field => field.tagName") == "TEXTAREA"
        assert page.get_by_label(f"Open a file (.npy, .json, .csv), {name}").count() == 1
        above = page.locator("label", has_text=name).first.bounding_box()
        below = field.bounding_box()
        assert above["x"] == below["x"]
        assert above["y"] + above["height"] <= below["y"] + 1
    expect(page, "#expects").to_have_text(
        "Expected: numbers, as JSON or separated by commas, or a file"
    )


@pytest.mark.parametrize("rows", ["[[1, 2, 3], [4, 5, 6]]", "1 2 3 4 5 6", "1,2,3\n4,5,6"])
def test_numbers_and_json_become_the_arrays(rows: str, page_of_three: Path, show: Show) -> None:
    page = show(page_of_three)
    fill(page, {**GIVEN, ROWS: rows})
    expect(page, "#details").to_contain_text(TOLD)
    expect(page, "#details").to_contain_text("rows: float32 (2, 3)\nweights: float32 (2)\n")


def test_the_answer_is_that_of_python(page_of_three: Path, show: Show) -> None:
    random = np.random.default_rng(0)
    rows, weights = random.random((1, 5, 3), np.float32), random.random((1, 5), np.float32)
    page = show(page_of_three)
    page.locator("#table").set_input_files(npy(rows[0]))
    page.locator(PLACE).fill("4")
    expect(page, "#details").to_be_hidden()
    assert page.locator(ROWS).get_attribute("placeholder") == "some.npy"
    page.locator("#table-1").set_input_files(npy(weights[0]))  # the last: it is asked at once
    with load(page_of_three, trust=True) as predictor:
        place = np.array([4])
        (total,) = predictor.run({"rows": rows, "weights": weights, "place": place})["total"]
    told = ", ".join(f"{number:.6g}" for number in total)
    expect(page, "#details").to_contain_text(f"total (1, 3): {told}")


def test_what_is_written_stands_before_a_file(page_of_three: Path, show: Show) -> None:
    page = show(page_of_three)
    page.locator("#table-1").set_input_files(npy(np.zeros(2, np.float32)))
    fill(page, GIVEN)
    expect(page, "#details").to_contain_text(TOLD)


def test_a_dropped_file_is_of_the_field_below_or_of_the_first_empty_one(
    page_of_three: Path, show: Show
) -> None:
    drop = """(at, name) => {
      const data = new DataTransfer();
      data.items.add(new File(["1, 2"], name));
      const event = new DragEvent("drop", { dataTransfer: data, bubbles: true });
      document.querySelector(at).dispatchEvent(event);
    }"""
    page = show(page_of_three)
    page.locator(ROWS).fill("1 2 3 4 5 6")
    for target, name in ((PLACE, "below.txt"), ("body", "empty.txt")):
        page.evaluate(f"([at, name]) => ({drop})(at, name)", [target, name])
    assert page.locator(PLACE).get_attribute("placeholder") == "below.txt"
    assert page.locator(WEIGHTS).get_attribute("placeholder") == "empty.txt"
    expect(page, "#error").to_have_text("place: The array has the shape (2); expected ().")


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        (ROWS, "1 2 3 4", "rows: The array has the shape (4); expected (time, 3)."),
        (ROWS, "", "rows: The array has the shape (0, 3); expected (time, 3)."),
        (ROWS, "[[1, 2], [3]]", "rows: Expected numbers: JSON"),
        (ROWS, "1 2 3 4 5 1e39", "rows: 1e+39 is not a valid float32."),
        (WEIGHTS, "1, x", "weights: NaN is not a finite number."),
        (WEIGHTS, "1 2 3", "weights: The axis time has size 3, but 2 in another array."),
        (PLACE, "1.5", "place: 1.5 is not a valid int64."),
        (PLACE, "9007199254740993", "place: 9007199254740992 is not a valid int64."),
        (PLACE, "5", "place: 5 is not in the range from 0 to 4."),
        (PLACE, "-1", "place: -1 is not in the range from 0 to 4."),
    ],
)
def test_a_refusal_names_the_array(
    field: str, text: str, told: str, page_of_three: Path, show: Show
) -> None:
    page = show(page_of_three)
    fill(page, {**GIVEN, field: text})
    expect(page, "#error").to_contain_text(told)
    expect(page, "#details").to_be_hidden()
    fill(page, GIVEN)
    expect(page, "#details").to_contain_text(TOLD)
    expect(page, "#error").to_be_hidden()


def test_a_byte_is_from_0_to_255(tmp_path: Path, show: Show) -> None:
    class Negative(nn.Module):
        def forward(self, levels: Tensor) -> Tensor:
            return 255.0 - levels.to(torch.float32)

    signature = {
        "inputs": {"levels": ["uint8", ["batch", 2], [0, 255]]},
        "outputs": {"negative": ["float32", ["batch", 2]]},
    }
    path = tmp_path / "negative.html"
    export(Negative(), "html", path, name="negative", signature=signature)
    page = show(path)
    fill(page, {ROWS: "300 1"})
    expect(page, "#error").to_have_text("300 is not a valid uint8.")
    fill(page, {ROWS: "255 1"})
    expect(page, "#details").to_contain_text("negative (1, 2): 0, 254")


def test_a_picture_without_a_task_gets_the_outputs(tmp_path: Path, show: Show) -> None:
    class Mean(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image.mean((1, 2, 3))[:, None]

    path = tmp_path / "mean.html"
    export(
        Mean(),
        "html",
        path,
        name="mean",
        preprocessing={
            "kind": "gray-image",
            "size": [28, 28],
            "resize_mode": "mnist",
            "mean": 0.0,
            "std": 1.0,
        },
        signature={
            "inputs": {"image": ["float32", ["batch", 1, 28, 28]]},
            "outputs": {"level": ["float32", ["batch", 1]]},
        },
    )
    page = show(path)
    picture = Path(__file__).parents[3] / "pictures" / "mnist-7.png"
    page.locator("#file").set_input_files(picture)
    with load(path, trust=True) as predictor:
        sample = predictor.preprocessing.collate([predictor.preprocessing.transform(picture)])
        mean = predictor.run(sample)["level"].item()
    expect(page, "#details").to_have_text(f"level (1, 1): {mean:.6g}")
    expect(page, "#model-input").to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_a_page_of_several_arrays(
    scheme: str, axe: Callable[[Any], list[str]], page_of_three: Path, show: Show
) -> None:
    page = show(page_of_three, color_scheme=scheme, viewport={"width": 320, "height": 700})
    page.locator("#table-1").set_input_files(npy(np.zeros(2, np.float32)))
    fill(page, {ROWS: "1 2 3 4 5 6", PLACE: "0"})
    expect(page, "#details").to_be_visible()
    assert axe(page) == []
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 320
