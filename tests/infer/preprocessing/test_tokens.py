"""Texts become the token ids that the tokenizer itself gives, padded and truncated."""

from __future__ import annotations

import base64
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.infer.errors import ArtifactError, BackendError, InputError
from ptx.infer.external.spec import ModelSpec
from ptx.infer.preprocessing import Preprocessing, batch_key, open_preprocessing
from ptx.infer.preprocessing.tokens import LENGTH_LIMIT, pack_tokenizer
from ptx.infer.signature import Signature

from .tiny_tokenizers import TOKENIZERS, odd_texts, tokenizers, word_piece

PADDING = 7


def tokens(
    *names: str,
    axes: tuple[int | str, ...] = ("batch", "length"),
    dtype: str = "int64",
    limits: dict[str, list[int]] | None = None,
    make: Callable[[], Any] = word_piece,
    **settings: Any,
) -> Preprocessing:
    signature = Signature.from_data(
        {
            "inputs": {name: [dtype, list(axes)] for name in names or ("input_ids",)},
            "outputs": {"logits": ["float32", ["batch", 3]]},
            "axes": limits or {},
        }
    )
    data = {"kind": "token-ids", "padding": PADDING, **settings}
    return open_preprocessing({"tokenizer": pack_tokenizer(make().to_str()), **data}, signature)


@pytest.mark.parametrize("make", TOKENIZERS.values(), ids=TOKENIZERS.keys())
def test_the_ids_are_those_of_the_tokenizer(make: Callable[[], Any]) -> None:
    preprocessing, tokenizer = tokens(make=make), make()
    right = 0
    for text in odd_texts():
        if any("\ud800" <= char <= "\udfff" for char in text):
            with pytest.raises(InputError, match="lone surrogate"):
                preprocessing.transform(text)
        elif all((encoding := tokenizer.encode(text)).special_tokens_mask):
            with pytest.raises(InputError, match="empty"):
                preprocessing.transform(text)
        else:
            assert preprocessing.transform(text)[:, 0].tolist() == encoding.ids, repr(text)
            right += 1
    assert right > 150


def test_a_batch_is_padded_to_its_longest_text_and_masked() -> None:
    preprocessing = tokens("input_ids", "attention_mask", "token_type_ids")
    short, long = map(preprocessing.transform, ("good", "the film was good"))
    assert batch_key(preprocessing, short) == batch_key(preprocessing, long)
    batch = preprocessing.collate([short, long])
    assert list(batch) == ["input_ids", "attention_mask", "token_type_ids"]
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int64)}
    ids = word_piece().encode("good").ids
    assert batch["input_ids"].tolist() == [
        [*ids, PADDING, PADDING, PADDING],
        word_piece().encode("the film was good").ids,
    ]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1]]
    assert not batch["token_type_ids"].any()


def test_without_a_mask_only_texts_of_one_length_share_a_batch() -> None:
    preprocessing = tokens("input_ids", "token_type_ids")
    short, long = map(preprocessing.transform, ("good", "the film was good"))
    assert batch_key(preprocessing, short) != batch_key(preprocessing, long)
    assert set(preprocessing.collate([long, long])) == {"input_ids", "token_type_ids"}


def test_a_fixed_length_and_another_integer_type_are_those_of_the_signature() -> None:
    preprocessing = tokens("input_ids", "attention_mask", axes=("batch", 8), dtype="int32")
    batch = preprocessing.collate([preprocessing.transform("good")])
    assert batch["input_ids"].shape == (1, 8)
    assert batch["input_ids"].dtype == np.int32
    assert batch["attention_mask"].sum() == 3


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_long_text_is_truncated_at_the_stated_side(side: str) -> None:
    preprocessing = tokens(max_length=4, truncation_side=side)
    kept = "the film" if side == "right" else "was good"
    ids = preprocessing.transform("the film was good")[:, 0].tolist()
    assert ids == word_piece().encode(kept).ids
    untouched = tokens().transform("the film was good")
    assert len(untouched) == 6


def test_the_tokenizer_s_own_padding_and_truncation_do_not_apply() -> None:
    def padded() -> Any:
        tokenizer = word_piece()
        tokenizer.enable_padding(length=30)
        tokenizer.enable_truncation(3)
        return tokenizer

    assert len(tokens(make=padded).transform("the film was good")) == 6


def test_probe_inputs_reveal_every_setting() -> None:
    def batch(**settings: Any) -> dict[str, list[list[int]]]:
        preprocessing = tokens("input_ids", "attention_mask", **settings)
        samples = [preprocessing.transform(text) for text in preprocessing.probe_inputs()]
        return {name: array.tolist() for name, array in preprocessing.collate(samples).items()}

    first = batch(max_length=16)
    assert len(first["input_ids"][0]) == 16, "a text is truncated"
    for other in ({"padding": 8}, {"max_length": 15}, {"truncation_side": "left"}):
        assert batch(**{"max_length": 16, **other}) != first, other


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (np.arange(3), "E-TYPE"),
        (b"text", "E-TYPE"),
        ("a" * (LENGTH_LIMIT + 1), "E-RANGE"),
        ("lone \ud83d surrogate", "E-RANGE"),
        ("", "E-EMPTY"),
        (" \n", "E-EMPTY"),
    ],
)
def test_what_is_no_text_is_refused(value: object, code: str) -> None:
    with pytest.raises(InputError) as caught:
        tokens().transform(value)
    assert caught.value.code == code


def test_a_text_that_the_tokenizer_cannot_encode_is_refused() -> None:
    without_unknown = tokenizers.Tokenizer(tokenizers.models.WordPiece({"a": 0}, unk_token="[UNK]"))
    with pytest.raises(InputError, match="vocabulary") as caught:
        tokens(make=lambda: without_unknown).transform("b")
    assert caught.value.code == "E-RANGE"


@pytest.mark.parametrize(
    "settings",
    [
        {"tokenizer": "not base64"},
        {"tokenizer": base64.b64encode(b"not compressed").decode()},
        {"tokenizer": pack_tokenizer("{}")},
        {"tokenizer": base64.b64encode(zlib.compress(b"\xff")).decode()},
        {"padding": -1},
        {"padding": 1.5},
        {"max_length": 2},  # [CLS] and [SEP]
        {"max_length": "16"},
        {"max_length": 33},
        {"truncation_side": "middle"},
        {"stride": 1},
    ],
)
def test_settings_that_are_not_valid_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError) as caught:
        tokens(limits={"length": [1, 32]}, **settings)
    assert caught.value.code == "E-MANIFEST"


@pytest.mark.parametrize(
    "signature",
    [
        {"names": ("characters",)},
        {"names": ("attention_mask",)},
        {"names": ("input_ids", "position_ids")},
        {"axes": ("batch",)},
        {"axes": ("length", "batch")},
        {"dtype": "float32"},
    ],
)
def test_a_signature_without_token_ids_is_refused(signature: dict[str, Any]) -> None:
    names = signature.pop("names", ("input_ids",))
    with pytest.raises(ArtifactError) as caught:
        tokens(*names, **signature)
    assert caught.value.code == "E-MANIFEST"


def test_a_compressed_tokenizer_of_any_size_does_not_fill_the_memory() -> None:
    bomb = base64.b64encode(zlib.compress(b" " * 2**27, 9)).decode()
    with pytest.raises(ArtifactError) as caught:
        tokens(tokenizer=bomb)
    assert caught.value.code == "E-MANIFEST"


def test_a_missing_library_is_named_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(BackendError, match=r"ptx-toolkit\[texts\]"):
        tokens(tokenizer=pack_tokenizer("{}"))


def test_a_model_spec_names_the_file_of_its_tokenizer(tmp_path: Path) -> None:
    spec = {
        "task": "classification",
        "labels": ["no", "yes"],
        "inputs": {"input_ids": ["int64", ["batch", "length"]]},
        "outputs": {"logits": ["float32", ["batch", 2]]},
        "preprocessing": {"kind": "token-ids", "tokenizer_file": "tokenizer.json"},
    }
    with pytest.raises(InputError):
        ModelSpec.from_data(spec, folder=tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_bytes(b"\xff")
    with pytest.raises(InputError) as caught:
        ModelSpec.from_data(spec, folder=tmp_path)
    assert caught.value.code == "E-SPEC"
    path.write_text(word_piece().to_str())
    model_spec = ModelSpec.from_data(spec, folder=tmp_path)
    manifest = model_spec.manifest(model_spec.signature(), name="texts")
    assert manifest.preprocessing == {
        "kind": "token-ids",
        "tokenizer": pack_tokenizer(word_piece().to_str()),
    }
