"""Tokenizers of about a hundred tokens, and texts that are hard for a tokenizer."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed (extra texts)")
models, processors = tokenizers.models, tokenizers.processors

WORDS = ["the", "a", "film", "was", "is", "good", "bad", "not", "like", "##s", "##ed", "你", "好"]
LETTERS = [chr(code) for code in range(ord("a"), ord("z") + 1)]


def word_piece() -> Any:
    """As BERT has it: lower case, [CLS] and [SEP], continuations with ##."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = [*special, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS), *".,!?'"]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    tokenizer.add_special_tokens(special)
    return tokenizer


def byte_pairs() -> Any:
    """As RoBERTa has it: pairs of bytes, <s> and </s>."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    merges = [("t", "h"), ("th", "e"), ("g", "o"), ("o", "d"), ("go", "od"), ("Ġ", "good")]
    tokens = [
        *special,
        *sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        *("".join(pair) for pair in merges),
    ]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", vocabulary["</s>"]), ("<s>", vocabulary["<s>"]), add_prefix_space=False
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.add_special_tokens(special)
    return tokenizer


TOKENIZERS: dict[str, Callable[[], Any]] = {
    "word-piece": word_piece,
    "byte-pairs": byte_pairs,
}

_ODD = (
    "",
    " ",
    "\n\t\r\n",
    "\0",
    "\u200b\ufeff",
    "the film was good",
    "THE FILM WAS GOOD!!!",
    "  two  spaces   and\na line\r\nanother\u2028one\u0085more ",
    "Zoë, naïve façade — ÀÉÎÕÜ ß ŉ İstanbul",
    "e\u0301 is not \u00e9",
    "你好,世界。这是一个测试",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "👍👍🏽 👨\u200d👩\u200d👧\u200d👦 🇩🇪",
    "[CLS] the film [SEP] [MASK] [PAD] [UNK]",
    "<s> the film </s> <mask> <pad>",
    "[cls] [Sep]",
    "a" * 5_000,
    "the film was good " * 2_000,
    "https://example.org/a?b=c&d=%20#e user@example.org",
    "3.14159 1,000,000 −5 ½ ① ²",
    "\U0010ffff\ue000\ufffd\ufffe",
    "𝒽𝑒𝓁𝓁𝑜 ﬁﬂ",
    "a\u0300\u0301\u0302\u0303" * 50,
    "\ud800",
    "good \udfff film",
)


def odd_texts(count: int = 200) -> list[str]:
    """Empty, very long, in many scripts, with controls and lone surrogates; then random ones."""
    generator = random.Random(0)
    ranges = (
        (32, 126),
        (0, 255),
        (0x300, 0x36F),
        (0x4E00, 0x9FFF),
        (0x1F300, 0x1FAFF),
        (0, 0x10FFFF),
    )
    texts = list(_ODD)
    while len(texts) < count:
        texts.append(
            "".join(
                chr(generator.randint(*generator.choice(ranges)))
                for _ in range(generator.randint(1, 60))
            )
        )
    return texts
