"""A picture of predictions: each input as it was given and as the model saw it, with its top labels."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ptx.infer.artifact.files import make_folder, write_atomic
from ptx.infer.errors import InputError, pluralise
from ptx.infer.prediction import Failure, split_name
from ptx.infer.preprocessing import detect_digits_in

if TYPE_CHECKING:
    from ptx.infer import Prediction, Predictor
    from ptx.infer.digits.mnist import DetectedDigit
    from ptx.infer.prediction import Box

SHOWN = 24  # inputs at most
BARS = 5  # labels of an input
WIDE = 1280  # pixels: as many inputs stand side by side as fit

SIDE, GAP = 140, 12  # pixels: a picture's box, and between two things
TEXT = 300  # width of the labels and bars
HEAD, FOOT = 22, 22  # height of the name above and of the captions below
WHITE, INK, QUIET, FRAME, BAR, FIRST = (
    "#ffffff",
    "#1a1a1a",
    "#595959",
    "#c8c8c8",
    "#8ab4d0",
    "#00508a",
)

# Fonts for what Pillow's own lacks, by file name; the first that is installed.
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
    """Keeps the first inputs and answers that go by, and draws them."""

    bars = BARS  # labels that an answer needs

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0  # answers that went by
        self._values: list[Any] = []
        self._cells: list[Image.Image] = []
        self._noun = "input"
        self._searched: tuple[Any, list[DetectedDigit]] = (
            None,
            [],
        )  # the last picture with several figures

    def values(self, values: Iterable[Any]) -> Iterator[Any]:
        """`values`, the first of them remembered."""
        for value in values:
            if len(self._values) < SHOWN:
                self._values.append(value)
            yield value

    def answers(
        self, answers: Iterable[Prediction | Failure], predictor: Predictor
    ) -> Iterator[Prediction | Failure]:
        """`answers`, in the order of the values; the first of them are drawn."""
        for answer in answers:
            self.draw(self._values[min(self.count, SHOWN - 1)], answer, predictor)
            yield answer

    def draw(self, value: Any, answer: Prediction | Failure, predictor: Predictor) -> None:
        """Draw one of the first answers; of a later one only note that it was there."""
        if self.count < SHOWN:
            figures = self._figures(value, answer, predictor)
            self._cells.append(_cell(value, answer, predictor, figures))
        self.count += 1

    def _figures(
        self, value: Any, answer: Prediction | Failure, predictor: Predictor
    ) -> list[DetectedDigit]:
        """Those of a picture that has several, found once; none for another."""
        several = (
            answer.error.code == "E-IMG-OBJECTS" if isinstance(answer, Failure) else answer.box
        )
        if not several:
            return []
        content = split_name(value)[1]
        if self._searched[0] is not content:
            try:
                self._searched = content, detect_digits_in(predictor.preprocessing, content)
            except InputError:  # it has been answered: the file has changed since
                self._searched = content, []
        if not isinstance(answer, Failure):
            self._noun = "figure"
        return self._searched[1]

    def save(self) -> str:
        """Write the picture; says how many inputs it shows.

        Raises:
            OutputError: it cannot be written.
        """
        make_folder(self.path.parent)
        buffer = io.BytesIO()
        _grid(self._cells).save(buffer, format="PNG", optimize=True)
        write_atomic(self.path, buffer.getvalue())
        return f"{self.path}: {len(self._cells)} of {pluralise(self.count, self._noun)} drawn"


def _grid(cells: list[Image.Image]) -> Image.Image:
    """The cells side by side in rows, on white."""
    width, height = (max((cell.size[axis] for cell in cells), default=1) for axis in (0, 1))
    columns = max(1, min(WIDE // (width + GAP), len(cells)))
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP), WHITE)
    for index, cell in enumerate(cells):
        row, column = divmod(index, columns)
        sheet.paste(cell, (GAP + column * (width + GAP), GAP + row * (height + GAP)))
    return sheet


def _cell(
    value: Any, answer: Prediction | Failure, predictor: Predictor, figures: list[DetectedDigit]
) -> Image.Image:
    pictured = predictor.preprocessing.pictures is not None
    left = 2 * (SIDE + GAP) if pictured else 0
    cell = Image.new("RGB", (left + TEXT, HEAD + (SIDE + FOOT if predictor.labels else 44)), WHITE)
    draw = ImageDraw.Draw(cell)
    name = answer.input or "-"
    size, colour = (13, QUIET) if pictured else (16, INK)
    _text(draw, (0, 0, cell.width), name, size, colour=colour, keep_end=True)
    content = split_name(value)[1]
    if isinstance(answer, Failure):
        if figures:
            given = _draw_given(content, [seen.box for seen in figures])
            _pictures(cell, draw, {"given": given})
        x = SIDE + GAP if figures else 0
        _lines(draw, (x, HEAD), f"{answer.error.code}: {answer.error}", cell.width - x)
        return cell
    if pictured:
        given = _draw_given(content, [] if answer.box is None else [answer.box])
        seen = _draw_seen(content, predictor, answer.box, figures)
        _pictures(cell, draw, {"given": given, "seen by the model": seen})
    if answer.value is not None:
        _text(draw, (left, HEAD + 2, TEXT), answer.text, 24)
        return cell
    score = "" if answer.score is None else f" ({100 * answer.score:.1f} %)"
    _text(draw, (left, HEAD - 2, TEXT), f"{answer.label}{score}", 22, keep_end=True)
    _bars(draw, (left, HEAD + 34), answer)
    return cell


def _pictures(
    cell: Image.Image, draw: ImageDraw.ImageDraw, pictures: dict[str, Image.Image | None]
) -> None:
    for column, (title, picture) in enumerate(pictures.items()):
        x = column * (SIDE + GAP)
        if picture is not None:
            filtered = title == "given" and max(picture.size) > SIDE
            scale = SIDE / max(picture.size)
            size = tuple(max(1, round(scale * side)) for side in picture.size)
            method = Image.Resampling.LANCZOS if filtered else Image.Resampling.NEAREST
            fitted = picture.resize((size[0], size[1]), method)
            cell.paste(fitted, (x + (SIDE - size[0]) // 2, HEAD + (SIDE - size[1]) // 2))
        draw.rectangle((x, HEAD, x + SIDE - 1, HEAD + SIDE - 1), outline=FRAME)
        _text(draw, (x, HEAD + SIDE + 3, SIDE), title, 12, colour=QUIET)


def _draw_given(content: Any, boxes: list[Box]) -> Image.Image | None:
    """The picture as a person sees it, on white, with boxes; None for a ready sample."""
    from ptx.infer.artifact.files import read_bytes
    from ptx.infer.picture.decode import decode, from_array
    from ptx.infer.preprocessing.picture import SIZE_LIMIT

    try:
        if isinstance(content, np.ndarray):
            if content.dtype.kind == "f":
                return None
            picture = from_array(content)
        elif isinstance(content, bytes):
            picture = decode(content)
        else:
            picture = decode(read_bytes(content, limit=SIZE_LIMIT))
    except InputError:  # it has been answered: the file has changed since
        return None
    opaque = picture.convert("RGBA")
    ground = Image.new("RGBA", opaque.size, WHITE)
    given = Image.alpha_composite(ground, opaque).convert("RGB")
    for box in boxes:
        corners = [round(share * side) for share, side in zip(box, given.size * 2, strict=True)]
        pen = max(1, max(given.size) // SIDE)
        ImageDraw.Draw(given).rectangle(corners, outline=FIRST, width=pen)
    return given


def _draw_seen(
    content: Any, predictor: Predictor, box: Box | None, figures: list[DetectedDigit]
) -> Image.Image | None:
    """The pixels that the network gets; a ready sample scaled to its range."""
    try:
        if box is None:
            sample = predictor.preprocessing.read(content)
        else:
            sample = {seen.box: seen.pixels for seen in figures}[box]
    except (InputError, KeyError):  # it has been answered: the file has changed since
        return None
    if sample.dtype != np.uint8:
        square = sample.reshape(-1, sample.shape[-1])
        low, high = float(square.min()), float(square.max())
        sample = np.rint((square - low) * (255 / ((high - low) or 1.0))).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(sample.squeeze())).convert("RGB")


def _bars(draw: ImageDraw.ImageDraw, place: tuple[int, int], answer: Prediction) -> None:
    """A bar for each of the top labels: its name, its share of the width, its number."""
    x, y = place
    name, number = 104, 62
    full = TEXT - name - number
    for index, (label, score) in enumerate(answer.top[:BARS]):
        _text(draw, (x, y, name - 8), label, 14)
        draw.rectangle((x + name, y + 2, x + name + full, y + 14), outline=FRAME)
        if score * full >= 1:
            colour = BAR if index else FIRST
            draw.rectangle((x + name, y + 2, x + name + round(score * full), y + 14), fill=colour)
        _text(draw, (x + name + full + 8, y, number), f"{100 * score:.1f} %", 14)
        y += 22


def _lines(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, width: int) -> None:
    """`text` in as many lines as it needs, five at most."""
    font, lines = _font(14), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    for number, line in enumerate(lines[:BARS]):
        _text(draw, (place[0], place[1] + 20 * number, width), line, 14)


def _text(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int, int],
    text: str,
    size: int,
    *,
    colour: str = INK,
    keep_end: bool = False,
) -> None:
    """`text` on one line, shortened to the width: at its end, or in its middle with `keep_end`.

    Args:
        place: Where it begins, and its width: (x, y, width).
    """
    x, y, width = place
    one = " ".join(text.encode("utf-8", "replace").decode().split())
    font = _font(size, one.isascii())
    if font.getlength(one) > width:
        kept = len(one)
        while kept > 1 and font.getlength(_cut(one, kept, keep_end)) > width:
            kept -= 1
        one = _cut(one, kept, keep_end)
    draw.text((x, y), one, fill=colour, font=font)


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
