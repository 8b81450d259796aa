"""Weights in fewer bits: the network's own are rounded first, and what is proved is that network.

An int8 weight is a code from −127 to 127 times the scale of its output channel. A scale has 16
significant bits, so that each product is exact in float32 and the codes can be read off the numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from ptx.export.network_copy import copy_network
from ptx.export.trained_model import TrainedModel
from ptx.infer.errors import ArtifactError, UsageError, nearest, quote
from ptx.infer.signature import Array
from ptx.models.checkpoint import weights_digest

LEAST = 64  # numbers of a weight that is rounded: of fewer the file would not become smaller
CODES = 127  # the largest code of int8
_SCALE_BITS = 16
_NOTHING = 2.0**-100  # a channel whose weights are all smaller becomes zeros


def round_weights(trained: TrainedModel, form: str) -> TrainedModel:
    """The model with its weights rounded to `form`, a key of FORMS; the one given is left as it is.

    Matrices and kernels of float32 are rounded, in int8 along their first axis; biases, buffers and
    what has fewer than LEAST numbers stay as they are. An export of it is proved against float64 of the
    rounded network, and stores the weights in that form.

    Raises:
        UsageError: no such form, or the weights are rounded already.
        ArtifactError: E-NONFINITE: a weight is not finite. E-EXPORT: it is larger than float16 holds, or
            there is no weight to round.
    """
    if form not in FORMS:
        raise UsageError(f"there are no weights of {quote(form)}; {nearest(form, FORMS)}")
    if trained.card.weights:
        raise UsageError(f"the weights are rounded to {trained.card.weights} already")
    network = copy_network(trained.network)
    rounded = 0
    for name, weight in network.named_parameters():
        if weight.dtype == torch.float32 and weight.ndim > 1 and weight.numel() >= LEAST:
            numbers = _round(name, weight.detach().numpy(), form)
            with torch.no_grad():
                weight.copy_(torch.from_numpy(numbers))
            rounded += 1
    if not rounded:
        raise ArtifactError(
            f"{trained.card.model} has no float32 weight of {LEAST} numbers or more: rounded to {form}"
            " its file would not be smaller",
            code="E-EXPORT",
        )
    digest = weights_digest(network.state_dict())
    card = replace(trained.card, weights=form, weights_sha256=digest)
    return replace(trained, network=network, card=card)


def int8_scale(largest: Array) -> Array:
    """The scale of channels whose largest absolute weight is that: a code of CODES reaches it."""
    mantissa, exponent = np.frexp(largest.astype(np.float32) / np.float32(CODES))
    steps = np.ceil(mantissa * 2**_SCALE_BITS) / 2**_SCALE_BITS
    scale: Array = np.ldexp(steps, exponent).astype(np.float32)
    return np.where(largest < _NOTHING, np.float32(1), scale)


def _round(name: str, weight: Array, form: str) -> Array:
    if not np.isfinite(weight).all():
        raise ArtifactError(
            f"weight {name!r} is not finite, so it cannot be rounded to {form}: train the model again",
            code="E-NONFINITE",
        )
    rounded = FORMS[form](weight)
    if not np.isfinite(rounded).all():
        raise ArtifactError(
            f"weight {name!r} holds {np.abs(weight).max():.3g}, and float16 ends at 65,504: take int8",
            code="E-EXPORT",
        )
    return rounded


def _to_float16(weight: Array) -> Array:
    with np.errstate(over="ignore"):
        return weight.astype(np.float16).astype(np.float32)


def _to_int8(weight: Array) -> Array:
    scale = int8_scale(np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True))
    rounded: Array = np.rint(weight / scale) * scale
    return rounded


FORMS: dict[str, Callable[[Array], Array]] = {"float16": _to_float16, "int8": _to_int8}
"""The forms of weights by the name that `--quantize-weights` takes."""
