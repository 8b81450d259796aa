"""What forward returns as tensors: by name where it has names, else by place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ptx.infer.errors import ArtifactError, did_you_mean
from ptx.infer.signature import Signature


def find_outputs(signature: Signature, outputs: Any) -> tuple[Any, ...]:
    """The tensors that forward returns, in the signature's order.

    A mapping, a dataclass or a named tuple, such as the outputs of Hugging Face's networks, is asked for
    the signature's names and may hold more; a tensor, a tuple or a list has no names but its places.

    Raises:
        ArtifactError: E-OUTPUT: there is another number of them, none of that name, or no tensor.
    """
    import torch  # which is there: forward has run

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
    """Whether what forward returns has names, and no order that an exporter would keep."""
    named_tuple = hasattr(outputs, "_asdict")
    return named_tuple or isinstance(outputs, Mapping) or dataclasses.is_dataclass(outputs)


def _fields(outputs: Any, names: list[str]) -> Mapping[str, Any] | None:
    """What outputs hold by name; None where they have but places."""
    if isinstance(outputs, Mapping):
        return outputs
    if dataclasses.is_dataclass(outputs):
        return {field.name: getattr(outputs, field.name) for field in dataclasses.fields(outputs)}
    fields: Mapping[str, Any] | None = getattr(outputs, "_asdict", dict)()
    return fields if fields and set(names) <= set(fields) else None


def _no_tensors(signature: Signature, outputs: Any, tensors: Any) -> ArtifactError:
    """Why these are no outputs, and what to do."""
    if isinstance(tensors, tuple | list) and any(isinstance(part, Mapping) for part in tensors):
        return ArtifactError(
            "the network returns a list of mappings, one for each picture, as detectors do: how many"
            " boxes there are depends on the picture, so they make no array of a batch: wrap it in a"
            " module that returns the scores and boxes of all candidates, or as many of each picture as"
            " you fix (see docs/your-own-model.md)",
            code="E-OUTPUT",
        )
    kinds = [type(part).__name__ for part in tensors] if isinstance(tensors, tuple | list) else []
    held = f" of {', '.join(kinds[:5])}" if kinds else ""
    return ArtifactError(
        f"the network returns a {type(outputs).__name__}{held}; expected tensors for"
        f" {[spec.name for spec in signature.outputs]}: wrap it in a module that returns these",
        code="E-OUTPUT",
    )
