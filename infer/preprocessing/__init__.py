"""From raw inputs (image files, texts, rows of numbers) to a model's input arrays.

Training, export and prediction run this same code. A manifest stores a preprocessing as data: its `kind`
is a key of KINDS, the other keys are the settings of that kind. Installed packages add kinds through the
entry points of group `ptx.preprocessing`; with such a kind, `package` is the name of its distribution.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ptx.infer.artifact.golden import RawInput
from ptx.infer.errors import ArtifactError, BackendError, UsageError, did_you_mean, quote
from ptx.infer.plugins import PluginGroup
from ptx.infer.signature import Array, Signature, TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image

    from ptx.infer.digits.mnist import DetectedDigit

KINDS = {
    "gray-image": "ptx.infer.preprocessing.gray_image:GrayPreprocessing",
    "rgb-image": "ptx.infer.preprocessing.rgb_image:RgbPreprocessing",
    "tabular": "ptx.infer.preprocessing.columns:ColumnsPreprocessing",
    "char-codes": "ptx.infer.preprocessing.text:TextPreprocessing",
    "char-indices": "ptx.infer.preprocessing.symbols:SymbolsPreprocessing",
    "token-ids": "ptx.infer.preprocessing.tokens:TokensPreprocessing",
    "none": "ptx.infer.preprocessing.arrays:ArraysPreprocessing",
}

PACKAGE_KINDS = PluginGroup("ptx.preprocessing", "preprocessing", KINDS, type)


@dataclass(frozen=True)
class ImageSpec:
    """How a preprocessing turns an image into pixels, and pixels into numbers."""

    to_pixels: Callable[[Image], Array]  # a decoded image → uint8 (height, width[, channels])
    resize_mode: str | None  # the key of RESIZE_MODES that `to_pixels` uses, if any
    lookup_table: Array  # float32 (256,) or (channels, 256): the number for each pixel value
    sample_shape: tuple[int, ...]  # in the order of the signature's axes; −1 for a dynamic axis
    channel_axis: int = 0  # the axis of the channels in a sample, if there is one
    # The operations behind the lookup table, in float32: `divide` or `subtract`, and the operand.
    normalization: tuple[tuple[str, Array], ...] = ()
    # Boxes (n, 4), as fractions of the network's input, in pixels of an image of this width and height.
    # None if an image does not keep its geometry.
    to_original: Callable[[Array, tuple[int, int]], Array] | None = None

    @property
    def channels(self) -> int | None:
        """Channels of a pixel; None for a gray image, whose `mean` and `std` are single numbers."""
        return None if self.lookup_table.ndim == 1 else len(self.lookup_table)


class Preprocessing(Protocol):
    """Converts raw values to input arrays."""

    @property
    def input_description(self) -> str:
        """What a value is, for messages: `an image`, `8 numbers`."""

    @property
    def plural(self) -> str:
        """The plural noun for values, for messages: `images`, `texts`."""

    @property
    def specs(self) -> tuple[TensorSpec, ...]:
        """The model inputs that it produces, in the order of the signature."""

    @property
    def dimensions(self) -> int:
        """Dimensions of one value as an array; an array with one more contains several values."""

    @property
    def extensions(self) -> tuple[str, ...]:
        """Extensions of files that contain one value each; empty if there are none."""

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the numbers in a value; empty if a value is not a row of a table."""

    @property
    def variable_length(self) -> bool:
        """Whether samples of different lengths can share a batch: see `batch_key`."""

    @property
    def image_spec(self) -> ImageSpec | None:
        """How images become pixels and numbers; None if values are not images."""

    @property
    def row_spec(self) -> tuple[str, tuple[int, ...]] | None:
        """The data set rows it reads: a key of `ptx.trainers.data.dataset.ROW_TYPES` and the shape of
        a row. None if it reads none, or rows of different sizes."""

    def transform(self, value: Any) -> Array:
        """Convert one value to a sample, the array that `collate` stacks; InputError if invalid."""

    def transform_rows(self, rows: Array, names: Sequence[str] = ()) -> Sequence[Array]:
        """Convert dataset rows to samples; pixels are samples already.

        `names`: the labels of the dataset, if a row consists of indices into them.
        """

    def to_raw(self, row: Any, names: Sequence[str] = ()) -> RawInput:
        """Convert a dataset row to a raw input: an image file, a text, numbers."""

    def collate(self, samples: Sequence[Array]) -> dict[str, Array]:
        """Stack samples into the input arrays of a batch, with the signature's axes and dtypes.

        Samples of different lengths are padded at the end of the dynamic axes.
        """

    def probe_inputs(self) -> tuple[RawInput, ...]:
        """Synthetic values whose result changes with the settings; empty if values have no raw form."""


def open_preprocessing(data: Mapping[str, Any], signature: Signature) -> Preprocessing:
    """Create the preprocessing that a manifest describes.

    Raises:
        ArtifactError: the kind is unknown, or the settings do not match the signature.
        BackendError: E-PLUGIN: the kind is of a package that is not installed or cannot be used.
    """
    settings = dict(data)
    kind = settings.pop("kind", None)
    if not isinstance(kind, str):
        raise _unknown_kind(kind)
    if kind in KINDS:
        factory = pkgutil.resolve_name(KINDS[kind])
    else:
        factory = _find_package_kind(kind, settings.pop("package", ""))
    try:
        _check_names(factory, settings)
        opened: Preprocessing = factory(signature, **settings)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArtifactError(
            f"the manifest's preprocessing of kind {kind!r} is not valid: {error}",
            code="E-MANIFEST",
        ) from error
    return opened


def _unknown_kind(kind: object) -> ArtifactError:
    known = did_you_mean(str(kind), kind_names())
    return ArtifactError(
        f"the manifest's preprocessing is of kind {kind!r}; {known}", code="E-MANIFEST"
    )


def _find_package_kind(kind: str, package: object) -> type:
    """The class of a package's kind; `package`: the distribution that a manifest names, if any."""
    found = PACKAGE_KINDS.find(kind)
    if package and package != PACKAGE_KINDS.package(kind):
        instead = f"; here the package {PACKAGE_KINDS.package(kind)} has this kind" if found else ""
        raise BackendError(
            f"the preprocessing {quote(kind)} is part of the package {quote(str(package))}, which is not"
            f" installed here{instead}: install it if you trust its author",
            code="E-PLUGIN",
        )
    if found is None:
        raise _unknown_kind(kind)
    return found


def kind_names() -> list[str]:
    """The names of all kinds; no package is imported."""
    return [*KINDS, *PACKAGE_KINDS.names()]


def with_package(data: Mapping[str, Any]) -> dict[str, Any]:
    """A preprocessing as a manifest stores it: with the package of its kind, unless that is ptx."""
    package = PACKAGE_KINDS.package(str(data.get("kind")))
    return {**data, "package": package} if package else dict(data)


def batch_key(preprocessing: Preprocessing, sample: Array) -> object:
    """Samples with equal keys can share a batch: equal dtype and shape, unless they are padded."""
    return None if preprocessing.variable_length else (sample.dtype, sample.shape)


def detect_digits_in(preprocessing: Preprocessing, value: Any) -> list[DetectedDigit]:
    """Every digit in an image, at the model's input size, left to right.

    Raises:
        InputError: the image cannot be used, or shows nothing that resembles a digit.
        UsageError: the preprocessing does not detect digits.
    """
    from ptx.infer.digits.mnist import detect_digits
    from ptx.infer.images.flatten import min_decode_size
    from ptx.infer.preprocessing.gray_image import open_image

    image_spec, row_spec = preprocessing.image_spec, preprocessing.row_spec
    if image_spec is None or image_spec.resize_mode != "mnist" or row_spec is None:
        raise UsageError(
            "the model does not detect digits in an image: it makes one prediction per image"
        )
    height, width = row_spec[1]
    return detect_digits(open_image(value, min_size=min_decode_size), (width, height))


def _check_names(factory: Any, settings: Mapping[str, Any]) -> None:
    """ValueError unless the settings are valid keyword arguments of `factory`."""
    known = {
        name: parameter.default is parameter.empty
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    for name in settings:
        if name not in known:
            raise ValueError(f"setting {name!r} is unknown; {did_you_mean(name, known)}")
    for name, required in known.items():
        if required and name not in settings:
            raise ValueError(f"setting {name!r} is missing")


def show_value(value: Any) -> str:
    """A value for a message, on one line and shortened."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # an integer with more digits than Python converts to text
        return f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:60]}… ({len(text):,} characters)"
