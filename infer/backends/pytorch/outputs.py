"""Find the output tensors in the result of forward, by name or by position."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ptx.infer.errors import ArtifactError, did_you_mean
from ptx.infer.signature import Signature


def find_outputs(signature: Signature, outputs: Any) -> tuple[Any, ...]:
    """The tensors that forward returns, in the signature's order.

    In a mapping, a dataclass or a named tuple, such as the outputs of Hugging Face's networks, the
    tensors are found by the signature's names, and others are ignored. A tensor, a tuple or a list is
    matched by position.

    Raises:
        ArtifactError: E-OUTPUT: the number of tensors is wrong, a name is missing, or a value is not a
            tensor.
    """
    import torch  # already imported by the network

    names = [spec.name for spec in signature.outputs]
    fields = None if isinstance(outputs, torch.Tensor) else _fields(outputs, names)
    if fields is not None:
        for name in names:
            if name not in fields:
                raise ArtifactError(
                    f"the network returns a {type(outputs).__name__} without {name!r};"
                    f" {did_you_mean(name, [str(key) for key in fields])}",
                    code="E-OUTPUT",
                )
        tensors: Any = [fields[name] for name in names]
    else:
        tensors = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
    if not isinstance(tensors, tuple | list) or not all(
        isinstance(tensor, torch.Tensor) for tensor in tensors
    ):
        raise _no_tensors(signature, outputs, tensors)
    if len(tensors) != len(names):
        raise ArtifactError(
            f"the model returns {len(tensors)} outputs; its manifest says {len(names)}",
            code="E-OUTPUT",
        )
    return tuple(tensors)


def has_names(outputs: Any) -> bool:
    """Whether the result of forward has names, whose order an exporter may change."""
    named_tuple = hasattr(outputs, "_asdict")
    return named_tuple or isinstance(outputs, Mapping) or dataclasses.is_dataclass(outputs)


def _fields(outputs: Any, names: list[str]) -> Mapping[str, Any] | None:
    """The values of a result by name; None if it has no names."""
    if isinstance(outputs, Mapping):
        return outputs
    if dataclasses.is_dataclass(outputs):
        return {field.name: getattr(outputs, field.name) for field in dataclasses.fields(outputs)}
    fields: Mapping[str, Any] | None = getattr(outputs, "_asdict", dict)()
    return fields if fields and set(names) <= set(fields) else None


def _no_tensors(signature: Signature, outputs: Any, tensors: Any) -> ArtifactError:
    """E-OUTPUT for a result that is not made of tensors."""
    if isinstance(tensors, tuple | list) and any(isinstance(part, Mapping) for part in tensors):
        return ArtifactError(
            "the network returns a list of mappings, one for each image, as detectors do. The number"
            " of boxes depends on the image, so that they cannot be stacked into an array: wrap the"
            " network in a module that returns the scores and boxes of all candidates, or a fixed number"
            " per image (see docs/how-to/own-model.md)",
            code="E-OUTPUT",
        )
    types = [type(part).__name__ for part in tensors] if isinstance(tensors, tuple | list) else []
    elements = f" of {', '.join(types[:5])}" if types else ""
    return ArtifactError(
        f"the network returns a {type(outputs).__name__}{elements}; expected tensors for"
        f" {[spec.name for spec in signature.outputs]}: wrap it in a module that returns these",
        code="E-OUTPUT",
    )
