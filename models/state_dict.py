"""State dicts as people save them: alone, in a dictionary with other things, under prefixes, renamed.

Names are a matter of taste (`fc1`, `layers.1`), shapes are not. A *layer* is the weights below one name
(`conv1.weight` and `conv1.bias`), its *kind* the last parts of their names with the shapes. The rule:

1. A kind that stands once on both sides is matched, whatever its name.
2. Layers of one kind are told apart by the kinds of the layers that are numbered with them, and by their
   place among these: `branch5x5_1` is the first of a 1×1 and a 5×5 convolution, `branch3x3_1` of a
   1×1 and two 3×3 ones. The order in the file must be that of the numbers.
3. Where that leaves two for one place, nothing is matched. Order alone never decides.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from typing import Any

from torch import Tensor, nn

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")  # keys that tutorials put one under
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
SHOWN = 5  # names that an error lists
_NUMBERED = re.compile(r"(.*?)_?(\d+)")
_ORDINALS = {"first": "1", "second": "2"}  # the catalog's own names of numbered layers

Kind = tuple[tuple[str, tuple[int, ...]], ...]
Place = tuple[tuple[Kind, ...], int]  # the kinds of the numbered siblings, and the index among them


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


@dataclass(frozen=True)
class Layer:
    """The weights below one name."""

    name: str  # "" for those of the network itself
    kind: Kind  # (last part of the name, shape), sorted

    def weights(self) -> list[str]:
        """The whole names, sorted by their last part."""
        return [f"{self.name}.{last}" if self.name else last for last, _ in self.kind]


def match_weights(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> dict[str, str]:
    """The given name for each of the network's own, by the rule above.

    Both mappings are in the order of registration.

    Raises:
        ValueError: shapes do not fit, or two layers may be exchanged for each other; lists the first.
    """
    ours, theirs = _layers(own), _layers(given)
    if Counter(layer.kind for layer in ours) != Counter(layer.kind for layer in theirs):
        raise ValueError(f"the weights do not fit: {_join_items(_misfits(ours, theirs))}")
    mine, others = _by_kind(ours), _by_kind(theirs)
    found: dict[str, str] = {}
    for kind, layers in mine.items():
        pairs = [(layers[0], others[kind][0])]
        if len(layers) > 1:
            pairs = _tell_apart(layers, others[kind], _places(ours), _places(theirs))
        for layer, other in pairs:
            found |= zip(layer.weights(), other.weights(), strict=True)
    return {name: found[name] for name in own}


def _layers(weights: Mapping[str, Tensor]) -> list[Layer]:
    parts: defaultdict[str, list[tuple[str, tuple[int, ...]]]] = defaultdict(list)
    for name, tensor in weights.items():
        layer, _, last = name.rpartition(".")
        parts[layer].append((last, tuple(tensor.shape)))
    return [Layer(name, tuple(sorted(kind))) for name, kind in parts.items()]


def _by_kind(layers: Iterable[Layer]) -> dict[Kind, list[Layer]]:
    found: defaultdict[Kind, list[Layer]] = defaultdict(list)
    for layer in layers:
        found[layer.kind].append(layer)
    return dict(found)


def _tell_apart(
    ours: Sequence[Layer],
    theirs: Sequence[Layer],
    our_places: Mapping[str, Place],
    their_places: Mapping[str, Place],
) -> list[tuple[Layer, Layer]]:
    """Pairs of layers of one kind, by their places; ValueError where these do not tell."""
    by_place = {their_places[layer.name]: layer for layer in theirs if layer.name in their_places}
    places = [our_places.get(layer.name) for layer in ours]
    if len(by_place) < len(theirs) or set(places) != set(by_place) or None in places:
        shapes = ", ".join(f"{last} {shape}" for last, shape in theirs[0].kind)
        raise ValueError(
            f"it is not clear which layer is which: {_join_items([layer.name for layer in theirs])} have"
            f" equal shapes ({shapes}), and names and order do not tell them apart; expected the names"
            f" {_join_items([layer.name for layer in ours])}"
        )
    return [(layer, by_place[our_places[layer.name]]) for layer in ours]


def _places(layers: Sequence[Layer]) -> dict[str, Place]:
    """The place of each layer; none where the order of the numbers is not that of the file."""
    siblings: defaultdict[str, list[tuple[int, Layer]]] = defaultdict(list)
    for layer in layers:
        stem, number = _split_number(layer.name)
        siblings[stem].append((number, layer))
    return {
        layer.name: (tuple(member.kind for _, member in members), index)
        for members in siblings.values()
        if all(first < second for (first, _), (second, _) in pairwise(members))
        for index, (_, layer) in enumerate(members)
    }


def _split_number(name: str) -> tuple[str, int]:
    """`block.conv_2` → (`block.conv`, 2); a name without a number stands alone."""
    parent, _, last = name.rpartition(".")
    match = _NUMBERED.fullmatch(_ORDINALS.get(last, last))
    return (name, 0) if match is None else (f"{parent}.{match[1]}", int(match[2]))


def _misfits(ours: Sequence[Layer], theirs: Sequence[Layer]) -> list[str]:
    """What is left without layers of equal kinds: paired by equal names, then in order."""
    left, right = _without(ours, theirs), _without(theirs, ours)
    named = {layer.name: layer for layer in right}
    pairs = [(layer, named[layer.name]) for layer in left if layer.name in named]
    same = {layer.name for layer, _ in pairs}
    pairs += zip_longest(
        (layer for layer in left if layer.name not in same),
        (layer for layer in right if layer.name not in same),
    )
    return [text for layer, other in pairs for text in _differences(layer, other)]


def _without(layers: Sequence[Layer], others: Sequence[Layer]) -> list[Layer]:
    left, rest = Counter(other.kind for other in others), []
    for layer in layers:
        if left[layer.kind]:
            left[layer.kind] -= 1
        else:
            rest.append(layer)
    return rest


def _differences(ours: Layer | None, theirs: Layer | None) -> list[str]:
    """A line for each weight of one that the other has not, or not in this shape."""
    mine = {} if ours is None else dict(zip(dict(ours.kind), ours.weights(), strict=True))
    others = {} if theirs is None else dict(zip(dict(theirs.kind), theirs.weights(), strict=True))
    shapes = {} if ours is None else dict(ours.kind)
    given = {} if theirs is None else dict(theirs.kind)
    lines = []
    for last in {**shapes, **given}:
        if last not in given:
            lines.append(f"{mine[last]} {shapes[last]} is missing")
        elif last not in shapes:
            lines.append(f"{others[last]} {given[last]} is unknown")
        elif given[last] != shapes[last]:
            place = "" if mine[last] == others[last] else f" of {mine[last]}"
            lines.append(f"{others[last]} has shape {given[last]}, expected {shapes[last]}{place}")
    return lines


def _join_items(items: Sequence[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return f"{'; '.join(items[:SHOWN])}{more}"
