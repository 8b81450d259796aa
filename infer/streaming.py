"""Many inputs: read in windows, the next one while the last is computed, answered in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from ptx.infer.errors import ArtifactError, InputError, UsageError, nearest
from ptx.infer.prediction import Failure, Named, Prediction
from ptx.infer.signature import Array

if TYPE_CHECKING:
    from ptx.infer.predictor import Predictor

ON_ERROR = ("raise", "yield")

Read = tuple[str | None, Array | InputError]


def stream(
    predictor: Predictor, values: Iterable[Any], *, batch_size: int, top: int, on_error: str
) -> Iterator[Prediction | Failure]:
    """See `Predictor.predict_many`."""
    if batch_size < 1:
        raise UsageError(f"the batch size is {batch_size}; expected at least 1")
    if on_error not in ON_ERROR:
        raise UsageError(f"on_error is {on_error!r}; {nearest(on_error, ON_ERROR)}")
    if isinstance(values, str | bytes):
        raise UsageError(
            f"the inputs are one {type(values).__name__}; expected several of them, as in a list"
        )
    return _windows(predictor, iter(values), batch_size, top, on_error == "raise")


def _windows(
    predictor: Predictor, values: Iterator[Any], batch_size: int, top: int, strict: bool
) -> Iterator[Prediction | Failure]:
    with ThreadPoolExecutor(1, thread_name_prefix="ptx-reader") as reader:
        pending = reader.submit(_read, predictor, list(islice(values, batch_size)))
        while window := pending.result():
            pending = reader.submit(_read, predictor, list(islice(values, batch_size)))
            yield from _answers(predictor, window, top, strict)


def _read(predictor: Predictor, values: list[Any]) -> list[Read]:
    from ptx.infer.predictor import input_name

    window: list[Read] = []
    for value in values:
        name = value.name if isinstance(value, Named) else input_name(value)
        content = value.value if isinstance(value, Named) else value
        try:
            if isinstance(content, InputError):
                raise content
            window.append((name, predictor.preprocessing.read(content)))
        except InputError as error:
            window.append((name, error))
    return window


def _answers(
    predictor: Predictor, window: list[Read], top: int, strict: bool
) -> Iterator[Prediction | Failure]:
    def key(item: Read) -> tuple[bool, object]:
        sample = item[1]
        if isinstance(sample, InputError):
            return False, None
        return True, predictor.preprocessing.shape_key(sample)

    for (usable, _), group in groupby(window, key):
        items = list(group)
        if usable:
            samples = [sample for _, sample in items if not isinstance(sample, InputError)]
            yield from _predicted(predictor, samples, [name for name, _ in items], top, strict)
            continue
        for name, error in items:
            if isinstance(error, InputError):
                if strict:
                    raise error
                yield Failure(error, name)


def _predicted(
    predictor: Predictor,
    samples: list[Array],
    names: list[str | None],
    top: int,
    strict: bool,
) -> Iterator[Prediction | Failure]:
    """The answers of a batch; where one sample of it cannot be computed, of each by itself."""
    try:
        yield from predictor.predict_samples(samples, names, top=top)
    except (InputError, ArtifactError) as error:
        if strict:
            raise
        if len(samples) == 1:
            yield Failure(error, names[0])
            return
        for sample, name in zip(samples, names, strict=True):
            yield from _predicted(predictor, [sample], [name], top, strict)
