"""From what a person has in hand to a model's input arrays.

Training, export and prediction run this same code. A manifest holds a preprocessing as data: its `kind`
is a key of KINDS, the other keys are that kind's settings.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ptx.infer.artifact.golden import RawInput
from ptx.infer.errors import ArtifactError, UsageError, nearest
from ptx.infer.signature import Array, Signature, TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image

    from ptx.infer.digits.mnist import DetectedDigit

KINDS = {
    "gray-image": "ptx.infer.preprocessing.picture:GrayPreprocessing",
    "rgb-image": "ptx.infer.preprocessing.photo:PhotoPreprocessing",
    "tabular": "ptx.infer.preprocessing.columns:ColumnsPreprocessing",
    "char-codes": "ptx.infer.preprocessing.text:TextPreprocessing",
    "char-indices": "ptx.infer.preprocessing.symbols:SymbolsPreprocessing",
    "none": "ptx.infer.preprocessing.arrays:ArraysPreprocessing",
}


@dataclass(frozen=True)
class Pictures:
    """A preprocessing's way with pictures, for those that make rows of them or draw them."""

    read: Callable[[Image], Array]  # a decoded picture as uint8 pixels (height, width[, channels])
    resize_mode: str | None  # the key of RESIZE_MODES that does so; None where it is another way
    table: Array  # float32 (256,) or (channels, 256): the number for each pixel value
    sample_shape: tuple[int, ...]  # in the signature's axes; −1 for a dynamic one
    channel_axis: int = 0  # of a sample whose pixels have channels
    # What makes the table, in float32: `divide` or `subtract`, and by which number or numbers.
    steps: tuple[tuple[str, Array], ...] = ()

    @property
    def channels(self) -> int | None:
        """Of a pixel; None where it is one number, and so are the settings `mean` and `std`."""
        return None if self.table.ndim == 1 else len(self.table)


class Preprocessing(Protocol):
    """One way from values to input arrays."""

    @property
    def expects(self) -> str:
        """What a value is, for messages: `a picture`, `8 numbers`."""

    @property
    def noun(self) -> str:
        """What several values are called: `pictures`, `texts`."""

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The inputs that it fills, in the signature's order."""

    @property
    def dimensions(self) -> int:
        """Of one value in an array; an array of one more holds several."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of the files that hold one value each; none where no file does."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a value's numbers; none where it is no row of a table."""

    @property
    def pads(self) -> bool:
        """Whether samples of several lengths go into one batch: see `batch_key`."""

    @property
    def pictures(self) -> Pictures | None:
        """How it makes pixels of pictures and numbers of pixels; None where values are no pictures."""

    @property
    def rows(self) -> tuple[str, tuple[int, ...]] | None:
        """The data set rows it reads: a key of `ptx.trainers.data.dataset.ROW_TYPES` and the shape of
        a row. None if it reads none."""

    def read(self, value: Any) -> Array:
        """One value as the compact array that `collate` stacks; InputError where it cannot be."""

    def read_rows(self, rows: Array, names: Sequence[str] = ()) -> Sequence[Array]:
        """Rows of a data set as samples; pixels are samples as they are.

        `names`: the data's labels, where a row holds indices into them.
        """

    def raw(self, row: Any, names: Sequence[str] = ()) -> RawInput:
        """A row of a data set as a person has it: a picture file, a text, numbers."""

    def collate(self, samples: Sequence[Array]) -> dict[str, Array]:
        """The input arrays of a batch of samples, in the signature's axes and dtypes.

        Samples of several lengths are padded at the end of the dynamic axes.
        """

    def examples(self) -> tuple[RawInput, ...]:
        """Made-up values that show another setting; none where a value has no raw form."""


def open_preprocessing(data: Mapping[str, Any], signature: Signature) -> Preprocessing:
    """The preprocessing that a manifest describes.

    Raises:
        ArtifactError: an unknown kind, or settings that do not fit the signature.
    """
    settings = dict(data)
    kind = settings.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ArtifactError(
            f"the manifest's preprocessing is of kind {kind!r}; {nearest(str(kind), KINDS)}",
            code="E-MANIFEST",
        )
    made_by = pkgutil.resolve_name(KINDS[kind])
    try:
        _check_names(made_by, settings)
        opened: Preprocessing = made_by(signature, **settings)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArtifactError(
            f"the manifest's preprocessing of kind {kind!r} is not valid: {error}",
            code="E-MANIFEST",
        ) from error
    return opened


def batch_key(preprocessing: Preprocessing, sample: Array) -> object:
    """Samples with equal keys fit into one batch: the same dtype and shape, unless they are padded."""
    return None if preprocessing.pads else (sample.dtype, sample.shape)


def detect_digits_in(preprocessing: Preprocessing, value: Any) -> list[DetectedDigit]:
    """Every figure of a picture in the model's form, left to right.

    Raises:
        InputError: the picture cannot be used, or shows nothing that is like a digit.
        UsageError: the preprocessing does not look for digits.
    """
    from ptx.infer.digits.mnist import detect_digits
    from ptx.infer.picture.flatten import min_decode_size
    from ptx.infer.preprocessing.picture import open_picture

    pictures, rows = preprocessing.pictures, preprocessing.rows
    if pictures is None or pictures.resize_mode != "mnist" or rows is None:
        raise UsageError(
            "the model does not look for digits in pictures: there is one answer for each"
        )
    height, width = rows[1]
    return detect_digits(open_picture(value, least=min_decode_size), (width, height))


def _check_names(made_by: Any, settings: Mapping[str, Any]) -> None:
    """The settings of a kind are the keyword arguments of its class."""
    known = {
        name: parameter.default is parameter.empty
        for name, parameter in inspect.signature(made_by).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    for name in settings:
        if name not in known:
            raise ValueError(f"setting {name!r} is unknown; {nearest(name, known)}")
    for name, needed in known.items():
        if needed and name not in settings:
            raise ValueError(f"setting {name!r} is missing")


def show_value(value: Any) -> str:
    """A value in a message: on one line, and a short one."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # an integer of more digits than Python prints
        return f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text):,} characters)"
