"""A fault at a random node is named; `python -m export.diff.harness` in `tests/` plants many more."""

from __future__ import annotations

import pytest

from .harness import plant_and_locate, subject
from .networks import NETWORKS

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters, about themselves

# One fault of each kind, and each network at least once.
PLANTED = [
    ("vision", "weight"),
    ("vision", "padding"),
    ("lstm", "gates"),
    ("lstm", "rounded"),
    ("attention", "precision"),
    ("attention", "axis"),
    ("attention", "fused wrongly"),
    ("gru", "fused wrongly"),
    ("mixer", "epsilon"),
    ("mixer", "transposed"),
]


@pytest.mark.parametrize(("network", "kind"), PLANTED, ids=str)
def test_the_changed_node_is_named(network: str, kind: str) -> None:
    result = plant_and_locate(network, kind, 0)
    assert result is not None
    assert (result.right, result.sure) == (True, True), result


@pytest.mark.parametrize(("network", "kind"), PLANTED[::3], ids=str)
def test_the_step_is_named_if_a_new_conversion_has_the_fault_too(network: str, kind: str) -> None:
    result = plant_and_locate(network, kind, 0, by_exporter=True)
    assert result is not None
    assert (result.right, result.sure) == (True, True), result


@pytest.mark.parametrize("network", NETWORKS)
def test_no_step_of_a_right_file_disagrees(network: str) -> None:
    one = subject(network)
    found = one.locate(one.content)
    assert not found.disagrees
    assert found.step is None
    assert [step.title for step in found.steps if step.disagrees] == []
    assert max(found.runs.values()) <= 1
