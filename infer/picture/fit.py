"""From a picture of any size and colour to the model's pixels: light on dark, one channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image

from ptx.infer.errors import InputError
from ptx.infer.picture.ink import Cut, Floats, border, exact_gray, find_plain, without_dots

# isort: split
from ptx.infer.picture.ink import median, quantile
from ptx.infer.picture.parts import Pixels, grow
from ptx.infer.picture.search import cut_figure, search
from ptx.infer.prediction import Box

WORKING_SIDE: Final = 640
"""Longest side, in pixels, that ink is looked for in. Larger pictures are first averaged down to
it: a 24 Mpx photo then needs 10 MB of float32 instead of 290 MB, and a digit over a twentieth of it
still has more than 28 pixels."""

MNIST_SIZE: Final = (28, 28)
MNIST_INK: Final = 20
"""MNIST fits the ink into 20x20 and centres it by mass in 28x28. Held by its 70,000 pictures: the
longer side of the ink is 20 (19 in 16 of them), the centre of mass lies within 0.52 of (14, 14),
the brightest pixel is 254 or 255."""

STROKE: Final = (1.7, 4.2)
"""Least and largest stroke width in pixels of the 28x28 picture. Of MNIST's own digits, measured by
the same rule at ten times their size, 97 % lie between; pens and fonts leave that range."""

_POSITIONS: Final = np.stack(
    [np.ones(784), np.repeat(np.arange(28), 28), np.tile(np.arange(28), 28)], axis=1
).astype(np.float32)


@dataclass(frozen=True)
class Seen:
    """One figure in the model's form, and where it was in the picture."""

    pixels: Pixels
    box: Box
    others: tuple[Box, ...] = ()  # of what was left out beside them, far smaller than the figures


class Sample(np.ndarray[Any, np.dtype[np.uint8]]):
    """The pixels of a digit, and the places of what was left out beside it, far smaller."""

    others: tuple[Box, ...] = ()


def digit(image: Image.Image, size: tuple[int, int]) -> Pixels:
    """A digit as people draw it, in MNIST's form: uint8 (height, width), light ink on 0.

    `size` is (width, height). Dark on light or light on dark, any size, colour and transparency,
    off-centre, on shaded paper, among other things: see docs/pictures.md. The ink is cropped, fitted
    into 20/28 of `size` and centred by mass. A 28x28 gray picture that is in MNIST's form already
    is returned unchanged, and an inverted one is returned as 255 minus itself.

    Raises:
        InputError: E-IMG-BLANK where nothing stands out. A blank picture has no digit, and an
            answer about it would be made up, so it is refused at any size, 28x28 black too.
            E-IMG-NO-DIGIT where nothing is like a digit, E-IMG-OBJECTS where several figures are.
    """
    if (unchanged := _mnist_form(image, size)) is not None:
        return unchanged
    found = digits(image, size)
    if len(found) > 1:
        places = ", ".join(
            f"{seen.box[0]:.0%} to {seen.box[2]:.0%} from the left" for seen in found
        )
        raise InputError(
            f"the picture shows {len(found)} figures: {places}; expected one: cut out the one that is"
            " meant, or have each answered (`ptx predict --all`)",
            code="E-IMG-OBJECTS",
        )
    if not found[0].others:
        return found[0].pixels
    sample = found[0].pixels.view(Sample)
    sample.others = found[0].others
    return sample


def digits(image: Image.Image, size: tuple[int, int]) -> list[Seen]:
    """Every figure of a picture as `digit` brings one into form, left to right.

    Raises:
        InputError: E-IMG-BLANK, or E-IMG-NO-DIGIT where no figure has the size and the strokes of one.
    """
    if (unchanged := _mnist_form(image, size)) is not None:
        return [Seen(unchanged, (0.0, 0.0, 1.0, 1.0))]
    cuts, others = _cuts(without_dots(_reduce(_flatten(image))))
    return [Seen(bring_into_form(cut.ink, size), cut.box, others) for cut in cuts]


def bring_into_form(ink: Floats, size: tuple[int, int]) -> Pixels:
    """The ink of one figure, 0 to 1 and cut to its box, in MNIST's form."""
    return _centre(_shrink(ink, round(min(size) * MNIST_INK / 28)), size)


def _cuts(flat: Image.Image) -> tuple[list[Cut], tuple[Box, ...]]:
    """The ink of each figure: the only thing on even paper, or else what is found among others.

    And the places of what was left out."""
    plain = blank = None
    try:
        plain = find_plain(flat)
    except InputError as error:
        blank = error
    if plain is not None:
        return [plain], ()
    scene = search(flat.convert("L"))
    if scene is not None:
        height, width = scene.labels.shape
        others = tuple(
            (p.left / width, p.top / height, p.right / width, p.bottom / height)
            for p in scene.others
        )
        return [cut_figure(scene, part) for part in scene.figures], others
    raise blank or InputError(
        "nothing in the picture has the size and the strokes of a digit; expected one digit, with paper"
        " around it",
        code="E-IMG-NO-DIGIT",
    )


def square(image: Image.Image, size: tuple[int, int]) -> Pixels:
    """A picture of a thing: uint8 (height, width), light on dark as in Fashion-MNIST.

    `size` is (width, height). Transparency is laid on a background that the thing stands out from,
    a light border makes the picture inverted, the short side is padded with the border's gray and
    the whole is resized with antialiasing. A gray picture of exactly `size` with a dark border is
    returned unchanged.
    """
    gray = image if image.mode == "L" else _flatten(image).convert("L")
    if _border_is_light(gray):
        gray = gray.point(_INVERTED)
    if gray.size == size:
        return np.asarray(gray)
    gray = _reduce(gray)
    scale = max(gray.width / size[0], gray.height / size[1])
    inner = (max(1, round(gray.width / scale)), max(1, round(gray.height / scale)))
    canvas = Image.new("L", size, int(median(border(np.asarray(gray)))))
    offset = ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2)
    canvas.paste(gray.resize(inner, _filter(scale)), offset)
    return np.asarray(canvas)


FITS: Final[dict[str, Callable[[Image.Image, tuple[int, int]], Pixels]]] = {
    "digit": digit,
    "square": square,
}


def least_size(size: tuple[int, int]) -> tuple[int, int]:
    """The least (width, height) at which a JPEG of `size` may be decoded, to be fitted as it is.

    Both sides keep WORKING_SIDE. Where that and the averaging behind it come to a multiple of eight, all
    of it is the decoder's: at an eighth a pixel is the average of one of the JPEG's blocks of 8x8.
    """
    width, height = size
    scale = next((s for s in (8, 4, 2) if min(size) >= s * WORKING_SIDE), 1)
    if scale * -(-max(size) // (scale * WORKING_SIDE)) % 8 == 0:
        scale = 8
    return max(1, width // scale), max(1, height // scale)


_INVERTED: Final = [255 - value for value in range(256)]
_WITHOUT_NOISE: Final = [value if value >= 64 else 0 for value in range(256)]


def _mnist_form(image: Image.Image, size: tuple[int, int]) -> Pixels | None:
    """The pixels of a 28x28 picture in MNIST's layout, as it is or inverted; None for another."""
    if not image.size == size == MNIST_SIZE:
        return None
    gray = image if image.mode == "L" else exact_gray(_flatten(image))
    if gray is None:
        return None
    if (pixels := _lay_out(gray)) is not None:
        return pixels
    return _lay_out(gray.point(_INVERTED))


def _lay_out(gray: Image.Image) -> Pixels | None:
    """The pixels of `gray` if they have MNIST's layout; noise below 64 is overlooked."""
    box = gray.getbbox()
    if box is not None and _longer_side(box) > MNIST_INK + 2:
        gray, noisy = gray.point(_WITHOUT_NOISE), gray
        box = gray.getbbox()
    else:
        noisy = gray
    if box is None or abs(_longer_side(box) - MNIST_INK) > 2:
        return None
    pixels = _pixels(gray)
    # `dot` takes two thirds of the time of `@` on so little.
    mass, rows, columns = pixels.reshape(784).astype(np.float32).dot(_POSITIONS).tolist()
    if abs(rows / mass - 14) > 1.5 or abs(columns / mass - 14) > 1.5 or pixels.max() < 192:
        return None
    return pixels if noisy is gray else _pixels(noisy)


def _pixels(gray: Image.Image) -> Pixels:
    # A quarter faster than `np.asarray`, which asks for the same bytes.
    return np.frombuffer(gray.tobytes(), np.uint8).reshape(gray.height, gray.width)


def _longer_side(box: tuple[int, int, int, int]) -> int:
    return max(box[2] - box[0], box[3] - box[1])


def _flatten(image: Image.Image) -> Image.Image:
    """L or RGB: what is transparent becomes a background that the opaque part stands out from."""
    if image.mode not in ("LA", "RGBA"):
        return image
    *_, alpha = image.split()
    opaque = image.convert(image.mode[:-1])
    if alpha.getextrema() == (255, 255):
        return opaque
    ground = Image.new(opaque.mode, opaque.size, _ground(opaque, alpha))
    ground.paste(opaque, mask=alpha)
    return ground


def _ground(opaque: Image.Image, alpha: Image.Image) -> tuple[int, ...]:
    """Black under light ink, white under dark ink, and the paper's colour where paper is drawn."""
    solid = np.asarray(_reduce(alpha)) > 127
    bands = len(opaque.getbands())
    if not solid.any():
        return (255,) * bands
    luminance = np.asarray(_reduce(opaque.convert("L")), np.float32)[solid]
    middle = median(luminance)
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    # Paper fills its box and carries a second tone; bare ink does neither.
    if len(luminance) > 0.75 * box and np.mean(np.abs(luminance - middle) > 60) > 0.002:
        paper = np.asarray(_reduce(opaque)).reshape(*solid.shape, bands)[solid]
        return tuple(int(value) for value in np.median(paper, axis=0))
    return (0 if luminance.mean() > 127 else 255,) * bands


def _reduce(image: Image.Image) -> Image.Image:
    factor = -(-max(image.size) // WORKING_SIDE)
    return image.reduce(factor) if factor > 1 else image


def _border_is_light(gray: Image.Image) -> bool:
    """Whether most of the border is light; a thing that fills the frame touches up to half of it."""
    return float(np.mean(border(np.asarray(gray)) > 127)) > 0.5


def _shrink(ink: Floats, side: int) -> Floats:
    """The ink, 0 to 255, its longer side brought to `side`, strokes neither hair-thin nor blobs."""
    pixels = (ink * 255).astype(np.uint8)
    moved = _move_edges(pixels, _stroke_change(ink, max(ink.shape) / side))
    picture = Image.fromarray(moved if moved.any() else pixels)  # a blob of few pixels can vanish
    picture = picture.crop(picture.getbbox())
    scale = max(picture.size) / side
    shape = (max(1, round(picture.width / scale)), max(1, round(picture.height / scale)))
    small = np.asarray(picture.resize(shape, _filter(scale)), np.float32)
    core = quantile(small[small > small.max() / 4], 0.9)  # white in MNIST's strokes
    whitened: Floats = np.minimum(small * np.float32(255 / core), np.float32(255))
    return whitened


def _filter(scale: float) -> Image.Resampling:
    """Averaging on the way down, as MNIST was made; interpolation on the way up."""
    return Image.Resampling.BOX if scale > 1 else Image.Resampling.BICUBIC


def _stroke_change(ink: Floats, scale: float) -> int:
    """By how many pixels of `ink` each edge must move for the strokes to be as wide as MNIST's."""
    mask = np.pad(ink > 0.5, 1)
    inner = mask[1:-1, 1:-1]
    edge = inner & ~(mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:])
    width = 2 * float(inner.sum()) / max(1.0, float(edge.sum())) / scale
    low, high = STROKE
    wanted = min(max(width, low), high)
    return round((wanted - width) * scale / 2)


def _move_edges(pixels: Pixels, reach: int) -> Pixels:
    """Strokes grown by `reach` pixels on each side, or thinned where it is negative."""
    if reach >= 0:
        return grow(np.pad(pixels, 2 * reach), reach)
    return 255 - grow(np.pad(255 - pixels, -reach, constant_values=255), -reach)


def _centre(ink: Floats, size: tuple[int, int]) -> Pixels:
    """`ink` on black with its centre of mass in the middle; what would leave is cut off."""
    height, width = ink.shape
    total = float(ink.sum())
    top = size[1] // 2 - round(float(ink.sum(axis=1) @ np.arange(height)) / total)
    left = size[0] // 2 - round(float(ink.sum(axis=0) @ np.arange(width)) / total)
    canvas = Image.new("L", size)
    canvas.paste(Image.fromarray(np.rint(ink).astype(np.uint8)), (left, top))
    return np.asarray(canvas)
