"""The spec of a text classifier or a sentence encoder of transformers, with its tokenizer."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from torch import Tensor, nn

from ptx.infer.errors import UsageError, quote
from ptx.infer.preprocessing.tokens import INPUTS, pack_tokenizer

TOKENIZER_FILE = "tokenizer.json"
MODULES_FILE = "modules.json"  # of sentence-transformers
POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
LENGTH = "length"  # the axis of the tokens
NO_MAX_LENGTH = 10**9  # transformers has 10**30 for a tokenizer without a maximum length


class SentenceEncoder(nn.Module):
    """A network with the pooling of sentence-transformers over its last hidden state.

    Args:
        names: The inputs, in the order of `forward`.
        pooling: `mean` of the tokens that the mask selects, or `cls`: the first token.
        normalize: Whether vectors have length 1.
    """

    def __init__(
        self, network: nn.Module, names: Sequence[str], pooling: str, *, normalize: bool
    ) -> None:
        super().__init__()
        self.network = network
        self.names, self.pooling, self.normalize = tuple(names), pooling, normalize

    def forward(self, *inputs: Tensor) -> Tensor:
        named = dict(zip(self.names, inputs, strict=True))
        tokens: Tensor = self.network(**named).last_hidden_state
        if self.pooling == "cls":
            vectors = tokens[:, 0]
        else:
            mask = named["attention_mask"].unsqueeze(-1).to(tokens.dtype)
            vectors = (tokens * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return nn.functional.normalize(vectors, dim=1) if self.normalize else vectors


def specify_classifier(
    folder: Path, network: nn.Module, config: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """The network, and the arguments of `describe` without the name.

    Raises:
        UsageError: there is no tokenizer.json, or the tokenizer or the task is one that ptx does not
            have.
        OSError, ValueError: the tokenizer cannot be read.
    """
    inputs = _read_inputs(folder, network, config, NO_MAX_LENGTH)
    task, labels = _task(folder, config)
    return network, {
        "task": task,
        "signature": {
            "inputs": inputs.tensors,
            "outputs": {"logits": ["float32", ["batch", config.num_labels]]},
            "axes": inputs.axes,
        },
        "preprocessing": inputs.preprocessing,
        "labels": labels,
    }


def specify_encoder(
    folder: Path, network: nn.Module, config: Any
) -> tuple[nn.Module, dict[str, Any]]:
    """The network with its pooling, and the arguments of `describe` without the name.

    Raises:
        UsageError: the folder is not one of sentence-transformers, or has a step that ptx does not
            have; and as `specify_classifier`.
        OSError, ValueError: a file of the folder cannot be read.
    """
    pooling, normalize, most_tokens = _read_pooling(folder, network)
    inputs = _read_inputs(folder, network, config, most_tokens)
    encoder = SentenceEncoder(network, list(inputs.tensors), pooling, normalize=normalize)
    return encoder, {
        "task": "embedding",
        "signature": {
            "inputs": inputs.tensors,
            "outputs": {"vector": ["float32", ["batch", config.hidden_size]]},
            "axes": inputs.axes,
        },
        "preprocessing": inputs.preprocessing,
        "labels": (),
    }


def _read_pooling(folder: Path, network: nn.Module) -> tuple[str, bool, int]:
    """The key of POOLINGS, whether vectors are normalised, and the most tokens of a text."""

    def refuse(what: str) -> UsageError:
        return UsageError(
            f"{quote(folder)} of a {type(network).__name__} {what}: write a function that returns the"
            " network with its pooling, and describe its inputs and outputs"
        )

    if not (folder / MODULES_FILE).is_file():
        raise refuse(
            f"has no {MODULES_FILE} of sentence-transformers, which says how tokens become a vector"
        )
    modules = _read_json(folder / MODULES_FILE)
    kinds = [str(module["type"]).rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise refuse(
            f"has the modules {', '.join(kinds)}; expected Transformer, Pooling, Normalize"
        )
    settings = _read_json(folder / modules[1]["path"] / "config.json")
    active = [key for key, value in settings.items() if key.startswith("pooling_mode") and value]
    modes = [settings[key] if key == "pooling_mode" else POOLINGS.get(key) for key in active]
    if len(modes) != 1 or modes[0] not in POOLINGS.values():
        raise refuse(f"pools by {', '.join(active) or 'nothing'}; expected {', '.join(POOLINGS)}")
    limits = folder / "sentence_bert_config.json"
    limit = _read_json(limits) if limits.is_file() else {}
    if limit.get("do_lower_case"):
        raise refuse("makes texts lower-case in front of its tokenizer (do_lower_case)")
    return str(modes[0]), len(kinds) == 3, limit.get("max_seq_length") or NO_MAX_LENGTH


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


@dataclass(frozen=True)
class _Inputs:
    """The inputs of a network for texts: their tensors, limits of the axes, and preprocessing."""

    tensors: dict[str, Any]
    axes: dict[str, list[int]]
    preprocessing: dict[str, Any]


def _read_inputs(folder: Path, network: nn.Module, config: Any, most_tokens: int) -> _Inputs:
    tokenizer = _load_tokenizer(folder)
    tokens = network.get_input_embeddings().num_embeddings  # type: ignore[operator]
    last = {
        "input_ids": tokens - 1,
        "attention_mask": 1,
        "token_type_ids": getattr(config, "type_vocab_size", 1) - 1,
    }
    longest = _longest(network, config)
    cut = min(most_tokens, tokenizer.model_max_length, longest or NO_MAX_LENGTH)
    return _Inputs(
        {
            name: ["int64", ["batch", LENGTH], [0, last[name]]]
            for name in _input_names(folder, network, tokenizer)
        },
        {LENGTH: [1, longest]} if longest else {},
        {
            "kind": "token-ids",
            "tokenizer": pack_tokenizer(tokenizer.backend_tokenizer.to_str()),
            **({"max_length": cut} if cut < NO_MAX_LENGTH else {}),
            "truncation_side": tokenizer.truncation_side,
            "padding": tokenizer.pad_token_id,
        },
    )


def _load_tokenizer(folder: Path) -> Any:
    def refuse(what: str) -> UsageError:
        return UsageError(f"the tokenizer of {quote(folder)} {what}: describe the network yourself")

    if not (folder / TOKENIZER_FILE).is_file():
        raise UsageError(
            f"{quote(folder)} has no {TOKENIZER_FILE}, the tokenizer that must travel with the file:"
            f" save it there with AutoTokenizer.from_pretrained(…).save_pretrained({str(folder)!r})"
        )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.is_fast:
        raise refuse(
            f"is a {type(tokenizer).__name__} in Python, not one of the library tokenizers"
        )
    if tokenizer.split_special_tokens:
        raise refuse("splits special tokens (split_special_tokens)")
    if tokenizer.padding_side != "right":
        raise refuse(f"pads texts on the {tokenizer.padding_side}; expected the right")
    if tokenizer.pad_token_id is None:
        raise refuse("has no token for padding (pad_token)")
    return tokenizer


def _input_names(folder: Path, network: nn.Module, tokenizer: Any) -> list[str]:
    """The arguments of `forward` that the tokenizer makes, in their order.

    Raises:
        UsageError: there is another argument in front of them, which ptx would have to pass.
    """
    arguments = list(inspect.signature(network.forward).parameters)
    names = [name for name in arguments if name in INPUTS and name in tokenizer.model_input_names]
    if "input_ids" not in names or arguments[: len(names)] != names:
        raise UsageError(
            f"the network of {quote(folder)} takes {', '.join(arguments[:4])}, …; expected"
            f" {', '.join(INPUTS)} first: describe the network yourself"
        )
    return names


def _longest(network: nn.Module, config: Any) -> int | None:
    """The most tokens that the network takes; None if there is no limit."""
    positions = getattr(config, "max_position_embeddings", None)
    for name, module in network.named_modules():
        # RoBERTa numbers the tokens from the id of its padding on.
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            first = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - first
    return None if positions is None else int(positions)


def _task(folder: Path, config: Any) -> tuple[str, tuple[str, ...]]:
    """The task and the labels.

    Raises:
        UsageError: a text has several labels.
    """
    if config.problem_type == "multi_label_classification":
        raise UsageError(
            f"{quote(folder)} gives a text several labels (problem_type {config.problem_type!r}), for"
            " which ptx has no task: describe the network yourself, with the task 'passthrough'"
        )
    if config.problem_type == "regression" or config.num_labels == 1:
        return "regression", ()
    return "classification", tuple(config.id2label[index] for index in range(config.num_labels))
