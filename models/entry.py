"""What the catalog says of one network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Entry:
    """One documented network and how it is trained."""

    summary: str  # what it computes, one line
    source: str  # where it is taught
    network: str  # "module:class"
    config: Mapping[str, Any]  # keyword arguments of the class
    signature: Mapping[str, Any]  # see `ptx.infer.signature`
    preprocessing: Mapping[str, Any]  # see `ptx.infer.preprocessing`
    parameters: int  # trained numbers
    task: str  # a key of `ptx.infer.tasks.TASKS`
    data: str  # the documented data set, a source of `ptx.trainers.data`
    recipe: Mapping[str, Any]  # the default one: fields of `ptx.trainers.recipe.Recipe`
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # others, by name
    reaches: str = ""  # on the test rows; measured, see docs/models.md
    notes: str = ""  # where the default recipe differs from the documented one, and why
    labels: tuple[str, ...] = ()  # of the documented data; training takes the data's own

    def sized(self, labels: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Configuration and signature of the network for so many labels."""
        config, signature = dict(self.config), dict(self.signature)
        if labels != len(self.labels):
            config["classes"] = labels
            (name, (dtype, axes)), *_ = self.signature["outputs"].items()
            signature["outputs"] = {name: [dtype, [*axes[:-1], labels]]}
        return config, signature
