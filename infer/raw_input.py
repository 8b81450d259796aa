"""The name of a model's raw input, which a server accepts as an alternative to its tensors."""

from __future__ import annotations

from ptx.infer.artifact.manifest import Manifest
from ptx.infer.preprocessing import Preprocessing
from ptx.infer.tasks import find_task


def raw_input_name(manifest: Manifest, preprocessing: Preprocessing) -> str | None:
    """`picture`, `text`, `row` or `sequence`; None if the model accepts only tensors.

    `_file` is appended if an input tensor already has that name.
    """
    raw = preprocessing.row_spec is not None or preprocessing.image_spec is not None
    if not raw or not find_task(manifest.task).has_decoder:
        return None
    name = preprocessing.plural.removesuffix("s")
    return f"{name}_file" if name in {spec.name for spec in preprocessing.specs} else name
