"""What an application holds: card, preprocessing, backend and postprocessing in one."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from ptx.infer.artifact.card import Card
from ptx.infer.backends import BACKENDS, Backend
from ptx.infer.checks import check_inputs, is_finite
from ptx.infer.errors import ArtifactError, BackendError, UsageError
from ptx.infer.prediction import Failure, Prediction, input_name
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.signature import Array, Signature
from ptx.infer.tasks import find_task, unreadable

if TYPE_CHECKING:
    from ptx.infer.streaming import ReadAhead

TOP = 3  # labels that a prediction ranks unless asked for more


class Predictor:
    """A model that answers. Made by `ptx.infer.load`; one may serve many threads."""

    def __init__(self, card: Card, open_backend: Callable[[], Backend]) -> None:
        self.card = card
        self.preprocessing = open_preprocessing(card.preprocessing, card.signature)
        self._task = find_task(card.task)
        self._output = card.signature.outputs[0]
        why = unreadable(card.task, self._output)
        if why is not None:
            raise ArtifactError(f"the card does not fit: {why}", code="E-CARD")
        if not self._task.fits(self._output.sample_axes, len(card.labels)):
            raise ArtifactError(
                f"the card's output {self._output.describe()} and {len(card.labels)} labels do not"
                f" make a {card.task}",
                code="E-CARD",
            )
        self._open_backend = open_backend
        # The process that opened the backend, and the backend: None once closed.
        self._opened: tuple[int, Backend | None] = os.getpid(), open_backend()

    @property
    def signature(self) -> Signature:
        """The model's inputs and outputs."""
        return self.card.signature

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the output; empty for a regression."""
        return self.card.labels

    @property
    def backend(self) -> Backend:
        """The opened backend, with its `name` and the `device` that it really runs on."""
        process, backend = self._opened
        if backend is None:
            raise BackendError("the predictor has been closed", code="E-CLOSED")
        return backend if process == os.getpid() else self._after_fork(backend)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The model alone: arrays in, arrays out, nothing added.

        Args:
            inputs: An array for each input of the signature, in its axes; an empty batch is
                answered with empty outputs.

        Raises:
            InputError: an array that does not fit the signature or is not finite.
            ArtifactError: the model's outputs are not finite or not as its card says.
        """
        backend = self.backend
        arrays, sizes = check_inputs(self.card.signature, inputs)
        if sizes["batch"] == 0:
            # ONNX Runtime aborts the process on an empty batch into an LSTM or a GRU.
            return {
                spec.name: np.zeros(spec.shape(sizes), spec.numpy_dtype)
                for spec in self.card.signature.outputs
            }
        outputs = backend.run(arrays)
        self._check_outputs(outputs, sizes)
        return outputs

    def predict(self, value: Any, *, top: int = TOP) -> Prediction:
        """The answer for one input.

        Args:
            value: What the model's preprocessing reads: for a picture a path, bytes, a file object,
                a Pillow image, uint8 pixels or a ready float sample; for other models a text, a
                number or numbers.
            top: How many labels to rank.

        Raises:
            InputError: the value cannot be used.
            UsageError: `top` is less than 1.
        """
        sample = self.preprocessing.read(value)
        return self.predict_samples([sample], [input_name(value)], top=top)[0]

    @overload
    def predict_many(
        self,
        values: Iterable[Any] | ReadAhead,
        *,
        batch_size: int = 256,
        top: int = TOP,
    ) -> Iterator[Prediction]: ...

    @overload
    def predict_many(
        self,
        values: Iterable[Any] | ReadAhead,
        *,
        batch_size: int = 256,
        top: int = TOP,
        on_error: Literal["yield"],
    ) -> Iterator[Prediction | Failure]: ...

    def predict_many(
        self,
        values: Iterable[Any] | ReadAhead,
        *,
        batch_size: int = 256,
        top: int = TOP,
        on_error: Literal["raise", "yield"] = "raise",
    ) -> Iterator[Prediction | Failure]:
        """The answers for a stream of inputs, in its order and in bounded memory.

        Values are read in a thread while the batch before them is computed; a `ReadAhead` of
        `ptx.infer.streaming` is read as it was begun, in its own batches. `on_error`: "raise" ends at
        the first value that cannot be used; "yield" gives a `Failure` in its place.
        """
        from ptx.infer.streaming import stream

        return stream(self, values, batch_size=batch_size, top=top, on_error=on_error)

    def predict_samples(
        self, samples: Sequence[Array], names: Sequence[str | None], *, top: int = TOP
    ) -> list[Prediction]:
        """The answers for samples that `preprocessing.read` gave and that fit into one batch."""
        if top < 1:
            raise UsageError(f"top is {top}; expected at least 1")
        if not samples:
            return []
        return self.answers(self.run(self.preprocessing.collate(samples)), names, top=top)

    def answers(
        self, outputs: Mapping[str, Array], names: Sequence[str | None], *, top: int = TOP
    ) -> list[Prediction]:
        """What the outputs of `run` say of each row; `names`: of the inputs, one for each row."""
        first = outputs[self._output.name]
        if self._output.batch_axis:
            first = np.moveaxis(first, self._output.batch_axis, 0)
        name, model = self.backend.name, self.card.model
        return [
            Prediction(label, score, ranking, value, model, name, given)
            for (label, score, ranking, value), given in zip(
                self._task.decide(first, self.card.labels, top), names, strict=True
            )
        ]

    def classes(self, outputs: Mapping[str, Array]) -> Array | None:
        """The class index of each sample in the outputs of `run`; None for a regression."""
        if self._task.classes is None:
            return None
        first = outputs[self._output.name]
        return self._task.classes(np.moveaxis(first, self._output.batch_axis, 0))

    def close(self) -> None:
        """Close the backend."""
        process, backend = self._opened
        self._opened = process, None
        if process != os.getpid():
            _leak(backend)
        elif backend is not None:
            backend.close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        process, backend = getattr(self, "_opened", (0, None))
        if process != os.getpid():
            _leak(backend)

    def __repr__(self) -> str:
        _, backend = self._opened
        if backend is None:
            return f"<Predictor of {self.card.model}, closed>"
        return f"<Predictor of {self.card.model} on {backend.name} ({backend.device})>"

    def _check_outputs(self, outputs: Mapping[str, Array], sizes: Mapping[str, int]) -> None:
        for spec in self.card.signature.outputs:
            array = outputs.get(spec.name)
            if not isinstance(array, np.ndarray):
                raise ArtifactError(
                    f"the model gives {sorted(outputs)}; its card says {spec.name!r}",
                    code="E-OUTPUT",
                )
            if array.shape != spec.shape(sizes) or array.dtype != spec.numpy_dtype:
                raise ArtifactError(
                    f"output {spec.name!r} is {array.dtype} {array.shape}; its card says {spec.dtype}"
                    f" {spec.shape(sizes)}",
                    code="E-OUTPUT",
                )
            if not is_finite(array):
                raise ArtifactError(
                    f"output {spec.name!r} is not finite: the model's numbers overflow or its weights"
                    " are damaged",
                    code="E-NONFINITE",
                )

    def _after_fork(self, inherited: Backend) -> Backend:
        """Open the backend anew in a forked child; the inherited one is never touched again."""
        if not BACKENDS[inherited.name].survives_fork:
            raise BackendError(
                f"backend {inherited.name!r} does not survive a fork: load the model in the child, or"
                " start the child with multiprocessing's 'spawn'",
                code="E-FORK",
            )
        _leak(inherited)
        backend = self._open_backend()
        self._opened = os.getpid(), backend
        return backend


def _leak(inherited: Backend | None) -> None:
    """Keep what was opened before a fork: to destroy an ONNX Runtime session there hangs or crashes."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))
