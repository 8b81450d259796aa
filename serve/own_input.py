"""The input that a card reads itself, beside the tensors of its graph."""

from __future__ import annotations

from ptx.infer import Card
from ptx.infer.preprocessing import Preprocessing
from ptx.infer.tasks import find_task


def own_input(card: Card, preprocessing: Preprocessing) -> str | None:
    """What it is called: `picture`, `text`, `row`, `sequence`; None where there is none.

    A name that a tensor of the graph has already gets `_file` behind it.
    """
    if preprocessing.rows is None or not find_task(card.task).answers:
        return None
    name = preprocessing.noun.removesuffix("s")
    return f"{name}_file" if name in {spec.name for spec in preprocessing.specs} else name
