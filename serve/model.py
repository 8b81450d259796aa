"""One model as the protocol sees it: its tensors, its own input, what it was measured to take."""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ptx.infer import Array, ArtifactError, Prediction, Predictor
from ptx.infer.backends.ort.cpu import OrtCpuBackend
from ptx.infer.checks import check_inputs, check_values
from ptx.infer.signature import BATCH, TensorSpec, bound
from ptx.infer.verification import failures
from ptx.serve.messages import Asked, Wanted
from ptx.serve.own_input import own_input
from ptx.serve.queue.jobs import ON_LOOP, VALUES, Job
from ptx.serve.refusals import RefusalError, bad, refusal
from ptx.serve.tensors import BYTES, NAMES, Tensor, output, ranking, texts_output

VERSION = "1"
TOP = 3  # labels that an answer of the own input ranks unless asked for more
_GAIN = 0.95  # a larger batch must make a row at least this much cheaper
_LARGEST, _STEP = 64, 4  # rows that are tried: 1, 4, 16, 64
_AROUND = 1e-4  # seconds that a run takes beside the network: a turn of the loop, clients to wake
_TRIES = 9
_ENOUGH = 0.001  # seconds of runs of one size, from two on
_LONG = 0.05  # seconds of a run, above which no larger batch is tried
_REMEMBERED = 256  # shapes of requests
_SIZE = 4  # of a dynamic axis, where the model is measured


class Fitting(NamedTuple):
    """Requests of one tensor of a name, a datatype and a shape that fit the model."""

    spec: TensorSpec
    rows: int
    key: Hashable
    sizes: Mapping[str, int]  # of the dynamic axes

    def job(self, values: Array, timeout: float | None) -> Job:
        """What is to be computed for one of them, from the values of its tensor.

        Raises:
            RefusalError: a value is out of the tensor's range, or not finite.
        """
        try:
            check_values(self.spec, values, self.sizes, finite=True)
        except Exception as error:
            raise refusal(error) from error
        return Job(self.rows, self.key, {self.spec.name: values}, self.sizes, timeout=timeout)


class Model:
    """A predictor that was proved here, with what the protocol says of it."""

    def __init__(self, name: str, predictor: Predictor) -> None:
        self.name, self.predictor = name, predictor
        self.inputs = {spec.name: spec for spec in predictor.signature.inputs}
        self.outputs = {spec.name: spec for spec in predictor.signature.outputs}
        self.value = own_input(predictor.card, predictor.preprocessing)
        value_outputs = ("label", "score") if predictor.labels else ("value",)
        self.value_outputs = value_outputs if self.value else ()
        self.best_batch, self.row_seconds = 1, 0.0
        self._fitting: dict[tuple[str, str, tuple[int, ...]], Fitting] = {}  # lone tensors

    def prove(self) -> None:
        """Replay the golden samples on the backend that will answer, and measure it.

        Raises:
            ArtifactError: it does not give here what it gave where it was made.
        """
        card = self.predictor.card
        if card.golden:
            found = failures(self.predictor, card)
            if found:
                told = "; ".join(f"{check.name}: {check.detail}" for check in found)
                raise ArtifactError(
                    f"model {self.name!r} does not hold here: {told}", code="E-OUTPUT"
                )
        self.best_batch, self.row_seconds = self._measure()
        backend = self.predictor.backend
        if self.row_seconds < ON_LOOP and isinstance(backend, OrtCpuBackend):
            # Beside the event loop the other processors are the clients' and the other workers'.
            numbers = sum(array.size for array in self._filled(self.best_batch).values())
            backend.small_input = max(backend.small_input, numbers)

    def _measure(self) -> tuple[int, float]:
        """The rows from which on a batch makes none of them cheaper, and the seconds of one."""
        rows, lap = 1, self._fastest(1)
        # Runs on the event loop are no longer than ON_LOOP, so no larger batch would be taken.
        limit = 2 * ON_LOOP if lap < ON_LOOP else _LONG
        while rows < _LARGEST and lap < limit:
            enough = _GAIN * _STEP * (lap + _AROUND) - _AROUND
            longer = _STEP * lap  # at most, and of a short run that is enough to know
            if longer > min(enough, 2 * ON_LOOP):
                longer = self._fastest(_STEP * rows)
            if longer > enough:
                break
            rows, lap = _STEP * rows, longer
        return rows, lap / rows

    def _fastest(self, rows: int) -> float:
        """Seconds of the fastest of some runs of so many rows."""
        inputs = self._filled(rows)
        laps: list[float] = []
        while len(laps) < _TRIES and (len(laps) < 2 or sum(laps) <= _ENOUGH):
            started = time.perf_counter()
            self.predictor.run(inputs)
            laps.append(time.perf_counter() - started)
            if laps[-1] > _LONG:
                break
        return min(laps)

    def _filled(self, rows: int) -> dict[str, Array]:
        """Inputs of the largest numbers that they may have: to draw some costs the start 10 ms."""
        signature = self.predictor.signature
        sizes = signature.equal_sizes(_SIZE, batch=rows)
        return {
            spec.name: np.full(
                spec.shape(sizes), 1 if spec.bounds is None else bound(spec, sizes)[1],
                spec.numpy_dtype,
            )
            for spec in signature.inputs
        }  # fmt: skip

    def job(self, asked: Asked, limit: int) -> Job:
        """What is to be computed for a request; `limit`: the most rows.

        Raises:
            RefusalError: the request does not fit the model.
        """
        if len(asked.inputs) == 1 and asked.inputs[0].name == self.value:
            return self._value_job(asked, limit)
        if asked.outputs:
            self._check_wanted(asked.outputs, tuple(self.outputs))
        fitting = self.fitting(asked)
        if fitting is not None:
            values: Any = asked.inputs[0].values  # an array, by its datatype
            return fitting.job(values, asked.timeout)
        given: dict[str, Array] = {}
        for tensor in asked.inputs:
            spec = self.inputs.get(tensor.name)
            if spec is None or tensor.name in given:
                raise self._wrong_name(tensor.name, twice=spec is not None)
            if isinstance(tensor.values, list) or tensor.values.dtype is not spec.numpy_dtype:
                raise bad(
                    f"input {tensor.name!r} has the datatype {tensor.datatype}; expected"
                    f" {NAMES[spec.numpy_dtype]}"
                )
            given[tensor.name] = tensor.values
        try:
            arrays, sizes = check_inputs(self.predictor.signature, given)
        except Exception as error:
            raise refusal(error) from error
        rows = sizes[BATCH]
        _check_rows(rows, limit)
        key = tuple([item for item in sizes.items() if item[0] != BATCH])
        if len(self.inputs) == len(asked.inputs) == 1 and len(self._fitting) < _REMEMBERED:
            first = asked.inputs[0]
            self._fitting[first[:3]] = Fitting(self.inputs[first.name], rows, key, sizes)
        return Job(rows, key, arrays, sizes, timeout=asked.timeout)

    def fitting(self, asked: Asked) -> Fitting | None:
        """Those that a request is one of, where such a one came before."""
        return self._fitting.get(asked.inputs[0][:3]) if len(asked.inputs) == 1 else None

    def _value_job(self, asked: Asked, limit: int) -> Job:
        (tensor,) = asked.inputs
        self._check_wanted(asked.outputs, self.value_outputs)
        if not isinstance(tensor.values, list) or tensor.datatype != BYTES:
            raise bad(f"input {tensor.name!r} has the datatype {tensor.datatype}; expected {BYTES}")
        rows = len(tensor.values)
        _check_rows(rows, limit)
        values = [self.decode(value) for value in tensor.values]
        top = max((asked.top or TOP, *(item.classes for item in asked.outputs)))
        return Job(rows, VALUES, values, top=top, timeout=asked.timeout)

    def decode(self, value: bytes) -> bytes | str:
        """An element as its preprocessing reads it: a picture's file as it is, others as text.

        A picture never becomes a text, which would be a path.
        """
        if self.predictor.preprocessing.pictures is not None:
            return value
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise RefusalError(422, "a text is not valid UTF-8") from error

    def answer(self, asked: Asked, result: Any) -> list[Tensor]:
        """The tensors of a result, as they were asked for."""
        found = self._value_tensors(result) if isinstance(result, list) else {
            name: output(name, array) for name, array in result.items()
        }  # fmt: skip
        if not asked.outputs:
            return list(found.values())
        tensors = []
        for item in asked.outputs:
            tensor = found[item.name]
            if item.classes and isinstance(result, list):
                tensor = self._ranked(item, result)
            elif item.classes:
                tensor = ranking(tensor, item.classes, self.predictor.labels)
            tensors.append(tensor)
        return tensors

    def _value_tensors(self, result: Sequence[Prediction]) -> dict[str, Tensor]:
        if self.value_outputs == ("value",):
            numbers = np.array([item.value for item in result], np.float64)
            return {"value": output("value", numbers)}
        scores = np.array([item.score for item in result], np.float64)
        labels = texts_output("label", [item.label or "" for item in result], (len(result),))
        return {"label": labels, "score": output("score", scores)}

    def _ranked(self, item: Wanted, result: Sequence[Prediction]) -> Tensor:
        places = {label: index for index, label in enumerate(self.predictor.labels)}
        rows = [
            [
                f"{score:f}:{places.get(label, 0)}:{label}"
                for label, score in row.top[: item.classes]
            ]
            for row in result
        ]
        shape = (len(rows), len(rows[0]) if rows else 0)
        return texts_output(item.name, [text for row in rows for text in row], shape)

    def _check_wanted(self, wanted: Sequence[Wanted], known: Sequence[str]) -> None:
        names = [item.name for item in wanted]
        for name in names:
            if name not in known:
                raise bad(f"unexpected output {name!r} of model {self.name!r}; it gives"
                          f" {', '.join(known)}")  # fmt: skip
        if len(set(names)) < len(names):
            raise bad("an output is asked for twice")

    def _wrong_name(self, name: str, *, twice: bool) -> RefusalError:
        if twice:
            return bad(f"input {name!r} is given twice")
        known = ", ".join(self.inputs)
        own = f", or {self.value} alone" if self.value else ""
        return bad(f"unexpected input {name[:80]!r} for model {self.name!r}; expected {known}{own}")


def _check_rows(rows: int, limit: int) -> None:
    if rows > limit:
        raise bad(f"the request has {rows} rows; one may have {limit} at most (--max-batch)")
