"""Match a state dict with a network whose layers have other names.

A file may have the state dict in a dictionary, under the prefix of a wrapper, and with other names for
the layers (`fc1`, `layers.1`). Layers are matched by shape. A *layer* is the weights below one name
(`conv1.weight` and `conv1.bias`); its *shape signature* is the last part of each name with the shape.

1. A signature that occurs once in the network and once in the file is matched, whatever the names.
2. Layers of equal signature are distinguished by their numbered siblings and by their position among
   these: `branch5x5_1` is the first of a 1×1 and a 5×5 convolution, `branch3x3_1` the first of a 1×1 and
   two 3×3 ones. Siblings must be in the order of their numbers in the file.
3. If two layers still have the same position, that is an error. Order alone never decides.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Any

import torch
from torch import Tensor, nn

from ptx.models import CATALOG, build

# Common keys of a state dict in a file.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
PREFIXES = ("module.", "_orig_mod.")  # added by DataParallel and by torch.compile
SHOWN = 5  # names that an error lists
_NUMBERED = re.compile(r"(.*?)_?(\d+)")
_ORDINALS = {"first": "1", "second": "2"}  # numbers in the layer names of the catalog

ShapeSignature = tuple[tuple[str, tuple[int, ...]], ...]
# The signatures of the numbered siblings, and the index among them.
SiblingPosition = tuple[tuple[ShapeSignature, ...], int]


def unwrap(content: dict[Any, Any]) -> tuple[dict[Any, Any], tuple[str, ...]]:
    """The state dict in the content of a file, without prefixes of wrappers, and notes for the user.

    Raises:
        ValueError: a name occurs twice, with and without a prefix.
    """
    notes = []
    key = next((key for key in WRAPPERS if isinstance(content.get(key), dict)), None)
    if key is not None:
        others = ", ".join(str(other) for other in content if other != key) or "nothing"
        notes.append(f"the state dict is taken from {key!r}; ignored: {others}")
        content = content[key]
    result: dict[Any, Any] = {}
    removed: dict[str, None] = {}
    for name, value in content.items():
        bare = name
        # Wrappers may be nested.
        while isinstance(bare, str) and bare.startswith(PREFIXES):
            prefix, _, bare = bare.partition(".")
            removed[f"{prefix}."] = None
        if bare in result:
            raise ValueError(f"its weight {bare!r} occurs twice, with and without a prefix")
        result[bare] = value
    if removed:
        notes.append(f"the prefix {' and '.join(removed)} is removed from the names")
    return result, tuple(notes)


def rename(
    network: nn.Module, weights: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The weights under the names of the network, and the renamed ones as network name → file name.

    A network whose weights are organised differently from the published one has a method
    `published_weight_names`.

    Raises:
        ValueError: shapes differ, or it is ambiguous which layer is which.
    """
    expected = network.state_dict()
    if set(expected) == set(weights):
        return dict(weights), {}
    published: Mapping[str, str] = getattr(network, "published_weight_names", dict)()
    renamed = {published.get(name, name): tensor for name, tensor in expected.items()}
    matches = match_weights(renamed, weights)
    pairs = {name: matches[published.get(name, name)] for name in expected}
    return {name: weights[file_name] for name, file_name in pairs.items()}, {
        name: file_name for name, file_name in pairs.items() if name != file_name
    }


def find_models(weights: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The models of the catalog whose layers have these shapes, with their documented labels."""
    return tuple(name for name in CATALOG if _fits(name, weights))


def _fits(model: str, weights: Mapping[str, Tensor]) -> bool:
    with torch.device("meta"):
        network = build(model)
    try:
        rename(network, weights)
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class Layer:
    """The weights below one name."""

    name: str  # "" for weights of the network itself
    signature: ShapeSignature  # (last part of the name, shape), sorted

    def weights(self) -> list[str]:
        """The full names, sorted by their last part."""
        return [f"{self.name}.{last}" if self.name else last for last, _ in self.signature]


def match_weights(expected: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> dict[str, str]:
    """The name in the file for each name of the network, by the rules above.

    Args:
        expected: The state dict of the network, in the order of registration.
        stored: The state dict of the file, in the order of registration.

    Raises:
        ValueError: shapes differ, or it is ambiguous which layer is which; lists the first few.
    """
    network, file = _layers(expected), _layers(stored)
    if Counter(layer.signature for layer in network) != Counter(layer.signature for layer in file):
        raise ValueError(
            f"the weights do not match the network: {_join_items(_mismatches(network, file))}"
        )
    network_layers, file_layers = _by_signature(network), _by_signature(file)
    matches: dict[str, str] = {}
    for signature, layers in network_layers.items():
        pairs = [(layers[0], file_layers[signature][0])]
        if len(layers) > 1:
            pairs = _disambiguate(
                layers, file_layers[signature], _positions(network), _positions(file)
            )
        for layer, match in pairs:
            matches |= zip(layer.weights(), match.weights(), strict=True)
    return {name: matches[name] for name in expected}


def _layers(weights: Mapping[str, Tensor]) -> list[Layer]:
    parts: defaultdict[str, list[tuple[str, tuple[int, ...]]]] = defaultdict(list)
    for name, tensor in weights.items():
        layer, _, last = name.rpartition(".")
        parts[layer].append((last, tuple(tensor.shape)))
    return [Layer(name, tuple(sorted(signature))) for name, signature in parts.items()]


def _by_signature(layers: Iterable[Layer]) -> dict[ShapeSignature, list[Layer]]:
    grouped: defaultdict[ShapeSignature, list[Layer]] = defaultdict(list)
    for layer in layers:
        grouped[layer.signature].append(layer)
    return dict(grouped)


def _disambiguate(
    network: Sequence[Layer],
    file: Sequence[Layer],
    network_positions: Mapping[str, SiblingPosition],
    file_positions: Mapping[str, SiblingPosition],
) -> list[tuple[Layer, Layer]]:
    """Pairs of layers of equal signature, by position; ValueError if positions are not unique."""
    by_position = {
        file_positions[layer.name]: layer for layer in file if layer.name in file_positions
    }
    positions = [network_positions.get(layer.name) for layer in network]
    if len(by_position) < len(file) or set(positions) != set(by_position) or None in positions:
        shapes = ", ".join(f"{last} {shape}" for last, shape in file[0].signature)
        raise ValueError(
            f"it is ambiguous which layer is which: {_join_items([layer.name for layer in file])} have"
            f" equal shapes ({shapes}), and names and order do not distinguish them; expected the names"
            f" {_join_items([layer.name for layer in network])}"
        )
    return [(layer, by_position[network_positions[layer.name]]) for layer in network]


def _positions(layers: Sequence[Layer]) -> dict[str, SiblingPosition]:
    """The position of each layer by its name; none for groups whose numbers are not ascending."""
    siblings: defaultdict[str, list[tuple[int, Layer]]] = defaultdict(list)
    for layer in layers:
        stem, number = _split_number(layer.name)
        siblings[stem].append((number, layer))
    return {
        layer.name: (tuple(member.signature for _, member in members), index)
        for members in siblings.values()
        if all(first < second for (first, _), (second, _) in pairwise(members))
        for index, (_, layer) in enumerate(members)
    }


def _split_number(name: str) -> tuple[str, int]:
    """`block.conv_2` → (`block.conv`, 2); a name without a number is a group of its own, (name, 0)."""
    parent, _, last = name.rpartition(".")
    match = _NUMBERED.fullmatch(_ORDINALS.get(last, last))
    return (name, 0) if match is None else (f"{parent}.{match[1]}", int(match[2]))


def _mismatches(network: Sequence[Layer], file: Sequence[Layer]) -> list[str]:
    """The differences of the layers without a counterpart, paired by equal names, then in order."""
    missing, unknown = _without(network, file), _without(file, network)
    by_name = {layer.name: layer for layer in unknown}
    pairs = [(layer, by_name[layer.name]) for layer in missing if layer.name in by_name]
    paired = {layer.name for layer, _ in pairs}
    pairs += zip_longest(
        (layer for layer in missing if layer.name not in paired),
        (layer for layer in unknown if layer.name not in paired),
    )
    return [text for layer, other in pairs for text in _differences(layer, other)]


def _without(layers: Sequence[Layer], others: Sequence[Layer]) -> list[Layer]:
    """The layers that remain when one layer of equal signature is removed for each of the others."""
    unmatched, remaining = Counter(other.signature for other in others), []
    for layer in layers:
        if unmatched[layer.signature]:
            unmatched[layer.signature] -= 1
        else:
            remaining.append(layer)
    return remaining


def _differences(network: Layer | None, file: Layer | None) -> list[str]:
    """A line for each weight that is missing, unknown or has another shape."""
    expected_names, expected_shapes = _names_and_shapes(network)
    stored_names, stored_shapes = _names_and_shapes(file)
    lines = []
    for last in {**expected_shapes, **stored_shapes}:
        if last not in stored_shapes:
            lines.append(f"{expected_names[last]} {expected_shapes[last]} is missing")
        elif last not in expected_shapes:
            lines.append(f"{stored_names[last]} {stored_shapes[last]} is unknown")
        elif stored_shapes[last] != expected_shapes[last]:
            same_name = expected_names[last] == stored_names[last]
            suffix = "" if same_name else f" of {expected_names[last]}"
            lines.append(
                f"{stored_names[last]} has shape {stored_shapes[last]}, expected"
                f" {expected_shapes[last]}{suffix}"
            )
    return lines


def _names_and_shapes(layer: Layer | None) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    """The full names and the shapes of the weights, by the last part of their names."""
    if layer is None:
        return {}, {}
    shapes = dict(layer.signature)
    return dict(zip(shapes, layer.weights(), strict=True)), shapes


def _join_items(items: Sequence[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return f"{'; '.join(items[:SHOWN])}{more}"
