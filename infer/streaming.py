"""Many inputs: read in windows, the next one while the last is computed, answered in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, groupby, islice
from typing import TYPE_CHECKING, Any

from ptx.infer.errors import ArtifactError, InputError, UsageError, nearest
from ptx.infer.prediction import Failure, Prediction
from ptx.infer.ranges import BATCH_SIZE, SHOWN_LABELS
from ptx.infer.readers import ReadAhead, ReadValue, Window, read_window, reader_thread
from ptx.infer.signature import Array

if TYPE_CHECKING:
    from ptx.infer.predictor import Predictor

ON_ERROR = ("raise", "yield")


def stream(
    predictor: Predictor,
    values: Iterable[Any] | ReadAhead,
    *,
    batch_size: int,
    top: int,
    on_error: str,
) -> Iterator[Prediction | Failure]:
    """See `Predictor.predict_many`."""
    BATCH_SIZE.check("the batch size", batch_size)
    SHOWN_LABELS.check("top", top)
    if on_error not in ON_ERROR:
        raise UsageError(f"on_error is {on_error!r}; {nearest(on_error, ON_ERROR)}")
    if isinstance(values, str | bytes):
        raise UsageError(
            f"the inputs are one {type(values).__name__}; expected several of them, as in a list"
        )
    strict = on_error == "raise"
    if isinstance(values, ReadAhead):
        return _stream(predictor, values, top, strict)
    return _read_and_stream(predictor, iter(values), batch_size, top, strict)


def _read_and_stream(
    predictor: Predictor, values: Iterator[Any], batch_size: int, top: int, strict: bool
) -> Iterator[Prediction | Failure]:
    first = list(islice(values, batch_size))
    if len(first) < batch_size:  # all there is: nothing to overlap with
        yield from _answers(predictor, read_window(predictor.preprocessing, first), top, strict)
        return
    with reader_thread(predictor.preprocessing) as readers:
        yield from _stream(
            predictor, ReadAhead(readers, chain(first, values), batch_size), top, strict
        )


def _stream(
    predictor: Predictor, windows: Iterable[Window], top: int, strict: bool
) -> Iterator[Prediction | Failure]:
    for window in windows:
        yield from _answers(predictor, window, top, strict)


def _answers(
    predictor: Predictor, window: Window, top: int, strict: bool
) -> Iterator[Prediction | Failure]:
    def key(item: ReadValue) -> tuple[bool, object]:
        sample = item[1]
        if isinstance(sample, InputError):
            return False, None
        return True, predictor.preprocessing.shape_key(sample)

    for (usable, _), group in groupby(window, key):
        items = list(group)
        if usable:
            samples = [sample for _, sample in items if not isinstance(sample, InputError)]
            yield from _predict_window(predictor, samples, [name for name, _ in items], top, strict)
            continue
        for name, error in items:
            if isinstance(error, InputError):
                if strict:
                    raise error
                yield Failure(error, name)


def _predict_window(
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
            yield from _predict_window(predictor, [sample], [name], top, strict)
