"""State dicts as people save them: alone, in a dictionary with other things, under prefixes, renamed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ptx.models.matching import match_weights

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")  # keys that tutorials put one under
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile


def unwrap(content: dict[Any, Any]) -> tuple[dict[Any, Any], tuple[str, ...]]:
    """The state dict in a file's dictionary, its names without wrappers' prefixes, and notes on both.

    Raises:
        ValueError: a name stands twice, with and without a prefix.
    """
    notes = []
    key = next((key for key in WRAPPERS if isinstance(content.get(key), dict)), None)
    if key is not None:
        others = ", ".join(str(other) for other in content if other != key) or "nothing"
        notes.append(f"the state dict is taken from {key!r}; left out: {others}")
        content = content[key]
    found: dict[Any, Any] = {}
    removed: dict[str, None] = {}
    for name, value in content.items():
        bare = name
        while isinstance(bare, str) and bare.startswith(
            PREFIXES
        ):  # one may be wrapped in the other
            prefix, _, bare = bare.partition(".")
            removed[f"{prefix}."] = None
        if bare in found:
            raise ValueError(f"its weight {bare!r} stands twice, with and without a prefix")
        found[bare] = value
    if removed:
        notes.append(f"the prefix {' and '.join(removed)} is taken off the names")
    return found, tuple(notes)


def rename(
    network: nn.Module, weights: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The weights under the network's own names, and the given name for each own one that differs.

    A network that keeps its weights in another form than the documented one says under which names
    they stand there, `documented_names`.

    Raises:
        ValueError: shapes do not fit, or two layers may be exchanged for each other.
    """
    own = network.state_dict()
    if set(own) == set(weights):
        return dict(weights), {}
    documented: Mapping[str, str] = getattr(network, "documented_names", dict)()
    as_typed = {documented.get(name, name): tensor for name, tensor in own.items()}
    found = match_weights(as_typed, weights)
    pairs = {name: found[documented.get(name, name)] for name in own}
    return {name: weights[given] for name, given in pairs.items()}, {
        name: given for name, given in pairs.items() if name != given
    }
