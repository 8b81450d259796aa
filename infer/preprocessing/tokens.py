"""From texts to token ids, with the tokenizer that the network was trained with."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ptx.infer.artifact.golden import RawInput
from ptx.infer.errors import BackendError, InputError, install_hint
from ptx.infer.limits import NO_LIMITS
from ptx.infer.preprocessing import show_value
from ptx.infer.signature import BATCH, Array, Signature, TensorSpec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LENGTH_LIMIT = 1_000_000  # characters of a text
TOKENIZER_LIMIT = 64 * 2**20  # bytes of a tokenizer.json
SIDES = ("right", "left")
MASK = "attention_mask"
INPUTS = ("input_ids", MASK, "token_type_ids")
_LONGEST_PROBE = 512  # tokens: a longer text would make the check of a large network slow


class TokensPreprocessing:
    """A text as the ids of its tokens, padded on the right to the longest text of the batch.

    The ids are those of the library `tokenizers`, with the special tokens of the tokenizer, as its
    `encode` and the fast tokenizers of transformers return them.

    Args:
        tokenizer: A tokenizer.json, packed by `pack_tokenizer`.
        max_length: Longer texts are truncated to this number of tokens, special ones included. None
            leaves them as they are.
        truncation_side: The end of the text that is removed.
        padding: The id after the last token of a text; the attention mask is 0 there.
    """

    input_description, plural = "a text", "texts"
    dimensions = 1
    extensions = feature_names = ()
    image_spec = None
    row_spec = "text", ()

    def __init__(
        self,
        signature: Signature,
        *,
        tokenizer: str,
        max_length: int | None = None,
        truncation_side: str = "right",
        padding: int = 0,
    ) -> None:
        self.specs = signature.inputs
        names = [spec.name for spec in self.specs]
        if "input_ids" not in names or not set(names) <= set(INPUTS):
            raise ValueError(
                f"the inputs are {', '.join(names)}; expected input_ids, and optionally"
                " attention_mask and token_type_ids"
            )
        for spec in self.specs:
            if len(spec.axes) != 2 or spec.axes[0] != BATCH or spec.numpy_dtype.kind != "i":
                raise ValueError(
                    f"the input {spec.name!r} is {spec.dtype} {spec.describe()}; expected integers"
                    f" ({BATCH}, length)"
                )
        if truncation_side not in SIDES:
            raise ValueError(f"truncation_side is {truncation_side!r}; expected {', '.join(SIDES)}")
        if type(padding) is not int or padding < 0:
            raise ValueError(f"padding is {padding!r}; expected the id of a token")
        self.padding, self.max_length = padding, max_length
        # Without a mask the network would read the padding.
        self.variable_length = MASK in names
        self._columns = [name for name in names if name != MASK]
        if max_length is not None and type(max_length) is not int:
            raise ValueError(f"max_length is {max_length!r}; expected an integer")
        self._tokenizer = _open_tokenizer(tokenizer, max_length, truncation_side)
        if max_length is not None:
            special = self._tokenizer.num_special_tokens_to_add(False)
            longest = _longest(signature, self.specs[0])
            if not special < max_length <= (longest or max_length):
                end = "" if longest is None else f" and at most {longest}"
                raise ValueError(
                    f"max_length is {max_length}; expected more than the {special} special tokens{end}"
                )

    def transform(self, value: Any) -> Array:
        """int64 (length, inputs other than the attention mask): ids and token types."""
        if not isinstance(value, str):
            raise InputError(f"the input is a {type(value).__name__}; expected text", code="E-TYPE")
        if len(value) > LENGTH_LIMIT:
            raise InputError(
                f"the text has {len(value):,} characters; expected at most {LENGTH_LIMIT:,}",
                code="E-RANGE",
            )
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"the text has a lone surrogate, {value[error.start]!a}, at index {error.start};"
                " expected Unicode text",
                code="E-RANGE",
            ) from error
        try:
            encoding = self._tokenizer.encode(value)
        except Exception as error:  # such as an unknown token that is not in the vocabulary
            raise InputError(
                f"the model's tokenizer fails on {show_value(value)}: {error}", code="E-RANGE"
            ) from error
        if all(encoding.special_tokens_mask):
            raise InputError("the text is empty; expected at least one token", code="E-EMPTY")
        columns = {"input_ids": encoding.ids, "token_type_ids": encoding.type_ids}
        return np.array([columns[name] for name in self._columns], np.int64).T

    def transform_rows(self, rows: Array, names: Sequence[str] = ()) -> Sequence[Array]:
        return [self.transform(text) for text in rows.tolist()]

    def to_raw(self, row: Any, names: Sequence[str] = ()) -> RawInput:
        return str(row)

    def collate(self, samples: Sequence[Array]) -> dict[str, Array]:
        fixed = self.specs[0].axes[1]
        length = fixed if isinstance(fixed, int) else max(map(len, samples))
        inputs = {
            spec.name: np.full(
                (len(samples), length),
                self.padding if spec.name == "input_ids" else 0,
                spec.numpy_dtype,
            )
            for spec in self.specs
        }
        for row, sample in enumerate(samples):
            for name, column in zip(self._columns, sample.T, strict=True):
                inputs[name][row, : len(sample)] = column
            if MASK in inputs:
                inputs[MASK][row, : len(sample)] = 1
        return inputs

    def probe_inputs(self) -> tuple[RawInput, ...]:
        """Texts with accents and characters outside of ASCII, and one that is truncated."""
        texts = ("This is a text.", "Naïve façade — 你好, мир! 👍\nA second line: 3.14159")
        if self.max_length is None or self.max_length > _LONGEST_PROBE:
            return texts
        return (*texts, "one text after another " * (self.max_length // 4 + 1))


def pack_tokenizer(content: str) -> str:
    """A tokenizer.json in the form that a manifest stores: compressed, as base64."""
    return base64.b64encode(zlib.compress(content.encode(), 9)).decode()


@lru_cache(maxsize=4)
def _open_tokenizer(packed: str, max_length: int | None, truncation_side: str) -> Tokenizer:
    """The tokenizer, which is not changed any more.

    Raises:
        ValueError: it is not a tokenizer.
        BackendError: the library is not installed.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise BackendError(
            f"the model's tokenizer needs the library tokenizers: {install_hint('texts')}"
        ) from error
    decompressor = zlib.decompressobj()
    try:
        content = decompressor.decompress(base64.b64decode(packed, validate=True), TOKENIZER_LIMIT)
        tokenizer = Tokenizer.from_str(content.decode())
    except Exception as error:  # tokenizers raises no narrower class
        raise ValueError(f"the tokenizer cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if max_length is not None and max_length > 0:
        tokenizer.enable_truncation(max_length, direction=truncation_side)
    return tokenizer


def _longest(signature: Signature, spec: TensorSpec) -> int | None:
    """The most tokens that the model takes; None if there is no limit."""
    axis = spec.axes[1]
    return axis if isinstance(axis, int) else signature.limits.get(axis, NO_LIMITS).maximum
