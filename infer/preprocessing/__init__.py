"""From what a person has in hand to a model's input arrays.

Training, export and prediction run this same code. A card holds a preprocessing as data: its `kind`
is a key of KINDS, the other keys are that kind's settings.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

from ptx.infer.artifact.golden import Raw
from ptx.infer.errors import ArtifactError, nearest
from ptx.infer.signature import Array, Signature

KINDS = {
    "image": "ptx.infer.preprocessing.gray:GrayPreprocessing",
    "photo": "ptx.infer.preprocessing.photo:PhotoPreprocessing",
    "columns": "ptx.infer.preprocessing.columns:ColumnsPreprocessing",
    "text": "ptx.infer.preprocessing.text:TextPreprocessing",
    "symbols": "ptx.infer.preprocessing.symbols:SymbolsPreprocessing",
    "arrays": "ptx.infer.preprocessing.arrays:ArraysPreprocessing",
}


class Preprocessing(Protocol):
    """One way from values to input arrays."""

    @property
    def expects(self) -> str:
        """What a value is, for messages: `a picture`, `8 numbers`."""
        ...

    def read(self, value: Any) -> Array:
        """One value as the compact array that `collate` stacks; InputError where it cannot be."""
        ...

    def shape_key(self, sample: Array) -> Hashable:
        """Samples with equal keys fit into one batch."""
        ...

    def collate(self, samples: Sequence[Array]) -> dict[str, Array]:
        """The input arrays of a batch of samples, in the signature's axes and dtypes."""
        ...

    def examples(self) -> tuple[Raw, ...]:
        """Made-up values that show another setting; none where a value has no raw form."""
        ...


def open_preprocessing(data: Mapping[str, Any], signature: Signature) -> Preprocessing:
    """The preprocessing that a card describes.

    Raises:
        ArtifactError: an unknown kind, or settings that do not fit the signature.
    """
    settings = dict(data)
    kind = settings.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ArtifactError(
            f"the card's preprocessing is of kind {kind!r}; {nearest(str(kind), KINDS)}",
            code="E-CARD",
        )
    made_by = pkgutil.resolve_name(KINDS[kind])
    try:
        _check_names(made_by, settings)
        opened: Preprocessing = made_by(signature, **settings)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArtifactError(
            f"the card's preprocessing of kind {kind!r} is not valid: {error}", code="E-CARD"
        ) from error
    return opened


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
