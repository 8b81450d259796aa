"""What to state about the axes of a network that does not accept every size."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

from ptx.infer.errors import ArtifactError
from ptx.infer.limits import NO_LIMITS, Limits
from ptx.infer.signature import Signature

Passes = Callable[[Signature], bool]

LEAST = (32, 64)  # the smallest sizes to try, without a multiple
MULTIPLES = (2, 4, 8, 16, 32, 64)
PATCHES = (14, 28)  # of vision transformers


def suggest_by_running(error: ArtifactError, signature: Signature, runs: Passes) -> ArtifactError:
    """The error of a network that does not run, with the limits to state if it runs with some.

    `runs`: whether the network runs at the sizes of a signature.
    """
    candidates = [(size, 1) for size in LEAST] + [(size, size) for size in (*MULTIPLES, *PATCHES)]
    return _suggest(error, signature, runs, candidates)


def suggest_by_tracing(error: ArtifactError, signature: Signature, traces: Passes) -> ArtifactError:
    """The error of a graph that is not right for one range, with the multiple to state if there is one.

    A graph that was traced at odd sizes may be right only there, and another one at even sizes.
    `traces`: whether there is a graph that is right at the sizes of a signature.
    """
    limited = [_limit(signature, size, size) for size in reversed(MULTIPLES)]
    largest = next(filter(None, limited), None)
    if largest is None or not traces(largest):  # no smaller multiple will do
        return error
    return _suggest(error, signature, traces, [(size, size) for size in MULTIPLES])


def _suggest(
    error: ArtifactError,
    signature: Signature,
    passes: Passes,
    candidates: Sequence[tuple[int, int]],
) -> ArtifactError:
    """The error with the first limits that pass; `candidates`: minimum and multiple."""
    for minimum, multiple in candidates:
        limited = _limit(signature, minimum, multiple)
        if limited is not None and passes(limited):
            return _with_limits(error, limited)
    return error


def _limit(signature: Signature, minimum: int, multiple: int) -> Signature | None:
    """Its axes other than the batch with these limits as well; None if no size is left, or no axis."""
    limits = {}
    for axis in signature.dynamic_axes[1:]:
        stated = signature.limits.get(axis, NO_LIMITS)
        step = math.lcm(stated.multiple, multiple)
        least = -(-max(stated.minimum, minimum) // step) * step
        most = stated.maximum and stated.maximum // step * step
        if most is not None and most < least:
            return None
        limits[axis] = Limits(least, most, step)
    return signature.limit(limits) if limits else None


def _with_limits(error: ArtifactError, limited: Signature) -> ArtifactError:
    stated = ", ".join(
        json.dumps([axis, *limits.to_data()]) for axis, limits in limited.limits.items()
    )
    return ArtifactError(
        f"{error}; with the sizes {stated} (minimum, maximum or 0 for none, multiple) it works: state"
        " these or smaller ranges in the axes of its inputs",
        code=error.code,
    )
