"""The raw input of a model that ptx preprocesses, as an alternative to its tensors."""

from __future__ import annotations

from ptx.infer.artifact.manifest import Manifest
from ptx.infer.preprocessing import Preprocessing
from ptx.infer.tasks import find_task


def raw_input_name(manifest: Manifest, preprocessing: Preprocessing) -> str | None:
    """Its name: `picture`, `text`, `row`, `sequence`; None if the model takes only tensors.

    `_file` is appended if a tensor of the graph has that name.
    """
    if preprocessing.row_spec is None or not find_task(manifest.task).has_decoder:
        return None
    name = preprocessing.plural.removesuffix("s")
    return f"{name}_file" if name in {spec.name for spec in preprocessing.specs} else name
