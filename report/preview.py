"""A contact sheet of predictions: each input, the pixels that the model gets, and the top labels."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ptx.infer.artifact.files import make_folder, write_atomic
from ptx.infer.errors import InputError, pluralise
from ptx.infer.prediction import Failure, split_name
from ptx.infer.preprocessing import detect_digits_in
from ptx.report.boxes import FONT_SIZE, box_colours, draw_boxes
from ptx.report.class_map import Colour, draw_class_map, palette

if TYPE_CHECKING:
    from ptx.infer import Array, Prediction, Predictor
    from ptx.infer.boxes import LabelledBox
    from ptx.infer.digits.mnist import DetectedDigit
    from ptx.infer.prediction import Box

SHOWN = 24  # maximum number of inputs
BARS = 5  # labels of an input
MAX_WIDTH = 1280  # pixels of the sheet

SIDE, GAP = 140, 12  # pixels: side of an image box, and the gap between boxes
TEXT = 300  # width of the labels and bars
HEAD, FOOT = 22, 22  # height of the name above and of the captions below
LEGEND_ROW = 24  # height of a class in the legend of a class map
WHITE, INK, QUIET, FRAME, BAR, FIRST = (
    "#ffffff",
    "#1a1a1a",
    "#595959",
    "#c8c8c8",
    "#8ab4d0",
    "#00508a",
)

# Fonts for characters that Pillow's default font lacks; the first that is installed is used.
FONTS = (
    "NotoSansCJK-Regular.ttc",
    "wqy-microhei.ttc",
    "msyh.ttc",
    "PingFang.ttc",
    "NotoSans-Regular.ttf",
    "DejaVuSans.ttf",
    "Arial Unicode.ttf",
    "arial.ttf",
)


class Preview:
    """Draws the first inputs and predictions that pass through it."""

    bars = BARS  # labels that a prediction should have

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0  # predictions so far
        self._values: list[Any] = []
        self._cells: list[Image.Image] = []
        self._noun = "input"
        # The last image with several digits, and its digits.
        self._detected: tuple[Any, list[DetectedDigit]] = (None, [])

    def watch_inputs(self, values: Iterable[Any]) -> Iterator[Any]:
        """Pass `values` on, and keep the first of them."""
        for value in values:
            if len(self._values) < SHOWN:
                self._values.append(value)
            yield value

    def watch_predictions(
        self, predictions: Iterable[Prediction | Failure], predictor: Predictor
    ) -> Iterator[Prediction | Failure]:
        """Pass `predictions` on, in the order of the inputs, and draw the first of them."""
        for prediction in predictions:
            self.draw(self._values[min(self.count, SHOWN - 1)], prediction, predictor)
            yield prediction

    def draw(self, value: Any, prediction: Prediction | Failure, predictor: Predictor) -> None:
        """Draw one of the first predictions; only count a later one."""
        if self.count < SHOWN:
            digits = self._digits(value, prediction, predictor)
            self._cells.append(_cell(value, prediction, predictor, digits))
        self.count += 1

    def _digits(
        self, value: Any, prediction: Prediction | Failure, predictor: Predictor
    ) -> list[DetectedDigit]:
        """The digits of an image with several, detected once per image; empty for other inputs."""
        several = (
            prediction.error.code == "E-IMG-OBJECTS"
            if isinstance(prediction, Failure)
            else prediction.box
        )
        if not several:
            return []
        content = split_name(value)[1]
        if self._detected[0] is not content:
            try:
                self._detected = content, detect_digits_in(predictor.preprocessing, content)
            except InputError:  # the file has changed since its prediction
                self._detected = content, []
        if not isinstance(prediction, Failure):
            self._noun = "digit"
        return self._detected[1]

    def save(self) -> str:
        """Write the sheet as PNG and return a message with the number of inputs drawn.

        Raises:
            OutputError: the file cannot be written.
        """
        make_folder(self.path.parent)
        buffer = io.BytesIO()
        _grid(self._cells).save(buffer, format="PNG", optimize=True)
        write_atomic(self.path, buffer.getvalue())
        return f"{self.path}: {len(self._cells)} of {pluralise(self.count, self._noun)} drawn"


def _grid(cells: list[Image.Image]) -> Image.Image:
    """Arrange the cells in rows on white."""
    width, height = (max((cell.size[axis] for cell in cells), default=1) for axis in (0, 1))
    columns = max(1, min(MAX_WIDTH // (width + GAP), len(cells)))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP), WHITE)
    for index, cell in enumerate(cells):
        row, column = divmod(index, columns)
        sheet.paste(cell, (GAP + column * (width + GAP), GAP + row * (height + GAP)))
    return sheet


def _cell(
    value: Any, prediction: Prediction | Failure, predictor: Predictor, digits: list[DetectedDigit]
) -> Image.Image:
    is_image = predictor.preprocessing.image_spec is not None
    if not isinstance(prediction, Failure) and prediction.class_map is not None:
        picture = _draw_model_input(split_name(value)[1], predictor, None, []) if is_image else None
        return _class_map_cell(prediction, prediction.class_map, predictor.labels, picture)
    if not isinstance(prediction, Failure) and prediction.boxes is not None:
        return _boxes_cell(prediction, prediction.boxes, split_name(value)[1], predictor)
    left = 2 * (SIDE + GAP) if is_image else 0
    cell = Image.new("RGB", (left + TEXT, HEAD + (SIDE + FOOT if predictor.labels else 44)), WHITE)
    draw = ImageDraw.Draw(cell)
    name = prediction.input or "-"
    size, colour = (13, QUIET) if is_image else (16, INK)
    _text(draw, (0, 0, cell.width), name, size, colour=colour, keep_end=True)
    content = split_name(value)[1]
    if isinstance(prediction, Failure):
        if digits:
            image = _draw_input(content, [digit.box for digit in digits])
            _images(cell, draw, {"input": image})
        x = SIDE + GAP if digits else 0
        _lines(draw, (x, HEAD), f"{prediction.error.code}: {prediction.error}", cell.width - x)
        return cell
    if is_image:
        image = _draw_input(content, [] if prediction.box is None else [prediction.box])
        model_input = _draw_model_input(content, predictor, prediction.box, digits)
        _images(cell, draw, {"input": image, "what the model sees": model_input})
    if prediction.value is not None or prediction.vector is not None:
        size = 24 if prediction.vector is None else 14
        _text(draw, (left, HEAD + 2, TEXT), prediction.text, size)
        return cell
    score = "" if prediction.score is None else f" ({100 * prediction.score:.1f} %)"
    _text(draw, (left, HEAD - 2, TEXT), f"{prediction.label}{score}", 22, keep_end=True)
    _bars(draw, (left, HEAD + 34), prediction)
    return cell


def _class_map_cell(
    prediction: Prediction, class_map: Array, labels: Sequence[str], picture: Image.Image | None
) -> Image.Image:
    """The class map, over the picture if the model takes pictures, next to a legend."""
    drawn = draw_class_map(class_map, len(labels), picture)
    colours = dict(zip(labels, palette(len(labels)), strict=True))
    present = [(label, share) for label, share in prediction.top if share]
    return _legend_cell(prediction, drawn, present, colours, "with fewer pixels")


def _boxes_cell(
    prediction: Prediction, boxes: Sequence[LabelledBox], content: Any, predictor: Predictor
) -> Image.Image:
    """The boxes over the input, next to a list of them."""
    image = _draw_input(content, []) or _draw_model_input(content, predictor, None, [])
    colours = box_colours(predictor.labels)
    if image is None:  # the file has changed since its prediction
        image = Image.new("RGB", (1, 1), WHITE)
    drawn = draw_boxes(image, boxes, colours, lambda text: _font(FONT_SIZE, text.isascii()))
    ranking = [(each.label, each.score) for each in boxes]
    return _legend_cell(prediction, drawn, ranking, colours, "with lower scores")


def _legend_cell(
    prediction: Prediction,
    drawn: Image.Image,
    ranking: Sequence[tuple[str, float]],
    colours: Mapping[str, Colour],
    rest: str,
) -> Image.Image:
    """A picture next to labels with their colours and shares; `rest`: what those left out are."""
    rows = max(1, drawn.height // LEGEND_ROW - 1)  # the last row says how many more there are
    more = len(ranking[rows:])
    cell = Image.new("RGB", (drawn.width + GAP + TEXT, HEAD + drawn.height), WHITE)
    draw = ImageDraw.Draw(cell)
    _text(draw, (0, 0, cell.width), prediction.input or "-", 13, colour=QUIET, keep_end=True)
    cell.paste(drawn, (0, HEAD))
    x, y = drawn.width + GAP, HEAD
    for label, share in ranking[:rows]:
        draw.rectangle((x, y, x + 16, y + 16), fill=colours[label], outline=FRAME)
        _text(draw, (x + 26, y, TEXT - 100), label, 14)
        _text(draw, (x + TEXT - 66, y, 66), f"{100 * share:.1f} %", 14)
        y += LEGEND_ROW
    if more:
        _text(draw, (x + 26, y, TEXT - 26), f"and {more} more {rest}", 14, colour=QUIET)
    return cell


def _images(
    cell: Image.Image, draw: ImageDraw.ImageDraw, images: dict[str, Image.Image | None]
) -> None:
    for column, (title, image) in enumerate(images.items()):
        x = column * (SIDE + GAP)
        if image is not None:
            filtered = title == "input" and max(image.size) > SIDE
            scale = SIDE / max(image.size)
            size = tuple(max(1, round(scale * side)) for side in image.size)
            method = Image.Resampling.LANCZOS if filtered else Image.Resampling.NEAREST
            resized = image.resize((size[0], size[1]), method)
            cell.paste(resized, (x + (SIDE - size[0]) // 2, HEAD + (SIDE - size[1]) // 2))
        draw.rectangle((x, HEAD, x + SIDE - 1, HEAD + SIDE - 1), outline=FRAME)
        _text(draw, (x, HEAD + SIDE + 3, SIDE), title, 12, colour=QUIET)


def _draw_input(content: Any, boxes: list[Box]) -> Image.Image | None:
    """The input image on white, with boxes; None for an array that is already preprocessed."""
    from ptx.infer.artifact.files import read_bytes
    from ptx.infer.images.decode import decode, from_array
    from ptx.infer.preprocessing.gray_image import SIZE_LIMIT

    try:
        if isinstance(content, np.ndarray):
            if content.dtype.kind == "f":
                return None
            image = from_array(content)
        elif isinstance(content, bytes):
            image = decode(content)
        else:
            image = decode(read_bytes(content, limit=SIZE_LIMIT))
    except InputError:  # the file has changed since its prediction
        return None
    rgba = image.convert("RGBA")
    background = Image.new("RGBA", rgba.size, WHITE)
    image = Image.alpha_composite(background, rgba).convert("RGB")
    for box in boxes:
        corners = [round(share * side) for share, side in zip(box, image.size * 2, strict=True)]
        width = max(1, max(image.size) // SIDE)
        ImageDraw.Draw(image).rectangle(corners, outline=FIRST, width=width)
    return image


def _draw_model_input(
    content: Any, predictor: Predictor, box: Box | None, digits: list[DetectedDigit]
) -> Image.Image | None:
    """The pixels that the network gets; floating-point samples are scaled to their range."""
    try:
        if box is None:
            sample = predictor.preprocessing.transform(content)
        else:
            sample = {digit.box: digit.pixels for digit in digits}[box]
    except (InputError, KeyError):  # the file has changed since its prediction
        return None
    if sample.dtype != np.uint8:
        if sample.ndim == 3 and sample.shape[0] == 3:
            sample = np.moveaxis(sample, 0, -1)  # colours
        elif sample.ndim != 3 or sample.shape[-1] != 3:
            sample = sample.reshape(-1, sample.shape[-1])
        low, high = float(sample.min()), float(sample.max())
        sample = np.rint((sample - low) * (255 / ((high - low) or 1.0))).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(sample.squeeze())).convert("RGB")


def _bars(
    draw: ImageDraw.ImageDraw,
    position: tuple[int, int],
    prediction: Prediction,
) -> None:
    """A bar for each of the top labels, with its name and score."""
    x, y = position
    name, number = 104, 62
    full = TEXT - name - number
    for index, (label, score) in enumerate(prediction.top[:BARS]):
        _text(draw, (x, y, name - 8), label, 14)
        draw.rectangle((x + name, y + 2, x + name + full, y + 14), outline=FRAME)
        if score * full >= 1:
            colour = BAR if index else FIRST
            draw.rectangle((x + name, y + 2, x + name + round(score * full), y + 14), fill=colour)
        _text(draw, (x + name + full + 8, y, number), f"{100 * score:.1f} %", 14)
        y += 22


def _lines(draw: ImageDraw.ImageDraw, position: tuple[int, int], text: str, width: int) -> None:
    """Wrap `text` to `width`, in at most five lines."""
    font, lines = _font(14), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    for number, line in enumerate(lines[:BARS]):
        _text(draw, (position[0], position[1] + 20 * number, width), line, 14)


def _text(
    draw: ImageDraw.ImageDraw,
    position: tuple[int, int, int],
    text: str,
    size: int,
    *,
    colour: str = INK,
    keep_end: bool = False,
) -> None:
    """Draw `text` on one line, shortened at its end, or in its middle with `keep_end`.

    Args:
        position: (x, y, width).
    """
    x, y, width = position
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    font = _font(size, line.isascii())
    if font.getlength(line) > width:
        kept = len(line)
        while kept > 1 and font.getlength(_cut(line, kept, keep_end)) > width:
            kept -= 1
        line = _cut(line, kept, keep_end)
    draw.text((x, y), line, fill=colour, font=font)


def _cut(text: str, kept: int, keep_end: bool) -> str:
    tail = kept // 2 if keep_end else 0
    return f"{text[: kept - tail]}...{text[-tail:] if tail else ''}"


@cache
def _font(size: int, plain: bool = True) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    for name in () if plain else FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)
