"""What an application holds: manifest, preprocessing, backend and postprocessing in one."""

from __future__ import annotations

import ctypes
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from ptx.infer.artifact.manifest import Manifest
from ptx.infer.backends import BACKENDS, Backend, DeviceBackend
from ptx.infer.calibration import Calibration
from ptx.infer.checks import (
    check_device_inputs,
    check_device_outputs,
    check_inputs,
    check_outputs,
)
from ptx.infer.errors import ArtifactError, BackendError, InputError, UsageError, did_you_mean
from ptx.infer.prediction import Failure, Prediction, input_name, split_name
from ptx.infer.prefetch import Prefetcher, predict_stream
from ptx.infer.preprocessing import detect_digits_in, open_preprocessing
from ptx.infer.ranges import BATCH_SIZE, SHOWN_LABELS
from ptx.infer.signature import Array, Signature
from ptx.infer.tasks import require_task

if TYPE_CHECKING:
    from ptx.infer.backends.ort.device_arrays import DeviceArray

TOP = 3  # default number of ranked labels per prediction
ON_ERROR = ("raise", "yield")  # of `predict_many`


class _Process:
    """The cached pid, refreshed after a fork: avoids the system call `getpid` for each prediction."""

    pid = os.getpid()


if hasattr(os, "register_at_fork"):  # POSIX only
    os.register_at_fork(after_in_child=lambda: setattr(_Process, "pid", os.getpid()))


class Predictor:
    """A loaded model that predicts. Created by `ptx.infer.load`; safe to use from many threads.

    A predictor that was loaded from a file can be pickled and copied: the copy opens the file again,
    which must have the same content, with the same options.

    Attributes:
        manifest: What the file says of itself.
        skipped: The backends that `auto` tried before the one it took, and why each cannot be used:
            `{"ort-cuda": "the NVIDIA driver is too old: …"}`. Empty on a machine without a driver.
    """

    def __init__(
        self,
        manifest: Manifest,
        open_backend: Callable[[], Backend],
        *,
        allow_nonfinite: bool = False,
        reopen: Callable[[], Predictor] | None = None,
        skipped: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.manifest, self.skipped = manifest, skipped
        self._reopen = reopen
        self._finite = not allow_nonfinite
        self.preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
        self._output = manifest.signature.outputs[0]
        self._task = require_task(manifest.task, self._output, len(manifest.labels))
        _, size = self.preprocessing.row_spec or ("", ())
        self._calibration = Calibration.from_data(
            manifest.calibration, manifest.task, size, len(manifest.labels)
        )
        self._open_backend = open_backend
        # The process that opened the backend, and the backend: None once closed.
        self._opened: tuple[int, Backend | None] = _Process.pid, open_backend()

    @property
    def signature(self) -> Signature:
        """The model's inputs and outputs."""
        return self.manifest.signature

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the output; empty for a regression."""
        return self.manifest.labels

    @property
    def backend(self) -> Backend:
        """The opened backend, with its `name` and the `device` that it really runs on."""
        process, backend = self._opened
        if backend is None:
            raise BackendError("the predictor has been closed", code="E-CLOSED")
        return backend if process == _Process.pid else self._after_fork(backend)

    @overload
    def run(
        self, inputs: Mapping[str, Any], *, device_outputs: Literal[False] = False
    ) -> dict[str, Array]: ...

    @overload
    def run(
        self, inputs: Mapping[str, Any], *, device_outputs: Literal[True]
    ) -> dict[str, DeviceArray]: ...

    def run(
        self, inputs: Mapping[str, Any], *, device_outputs: bool = False
    ) -> dict[str, Array] | dict[str, DeviceArray]:
        """The model alone: arrays in, arrays out, nothing added.

        Args:
            inputs: An array for each input of the signature, in its axes; an empty batch is
                answered with empty outputs. Of a file of others also lists for its sequences, None
                for what may be left out, and numbers for its scalars, as it answers them.
            device_outputs: Of ort-cuda: leave the outputs on the GPU, and take inputs that are there
                without a copy: anything with `__dlpack__`, as tensors of PyTorch or CuPy's arrays,
                contiguous and in the signature's dtype. NumPy arrays among them are copied to it.
                Names, types and shapes are checked. Not checked is what lies on the GPU: whether
                numbers are finite, and whether indices are in their range (ONNX Runtime takes a row of
                zeros for those that are not). The call returns when the outputs are computed.

        Raises:
            InputError: an array that does not fit the signature or is not finite.
            ArtifactError: the model's outputs are not finite or not as its manifest says.
            UsageError: the backend has no device outputs.
        """
        if device_outputs:
            return self._run_on_device(inputs)
        if self.manifest.signature.unchecked:
            from ptx.infer.external.unchecked import run_unchecked

            return run_unchecked(self.manifest, self.backend, inputs, finite=self._finite)
        return self.run_checked(*check_inputs(self.manifest.signature, inputs, finite=self._finite))

    def _run_on_device(self, inputs: Mapping[str, Any]) -> dict[str, DeviceArray]:
        backend, signature = self.backend, self.manifest.signature
        if not isinstance(backend, DeviceBackend) or signature.unchecked:
            raise UsageError(
                f"device_outputs is for a file that ptx exported and for ort-cuda; this is on"
                f" {backend.name}: leave it out"
            )
        arrays, sizes = check_device_inputs(
            signature, inputs, backend.import_array, finite=self._finite
        )
        outputs = backend.run_on_device(arrays)
        check_device_outputs(signature.outputs, outputs, sizes)
        return outputs

    def run_checked(
        self, arrays: Mapping[str, Array], sizes: Mapping[str, int]
    ) -> dict[str, Array]:
        """What `run` does behind `ptx.infer.checks.check_inputs`.

        Args:
            arrays: What that gave; or several of these, joined along the batch.
            sizes: Of the dynamic axes, the batch among them.

        Raises:
            ArtifactError: the model's outputs are not finite or not as its manifest says.
        """
        backend = self.backend
        if sizes["batch"] == 0:
            # ONNX Runtime aborts the process on an empty batch into an LSTM or a GRU.
            return {
                spec.name: np.zeros(spec.shape(sizes), spec.numpy_dtype)
                for spec in self.manifest.signature.outputs
            }
        outputs = backend.run(arrays)
        check_outputs(self.manifest.signature.outputs, outputs, sizes, finite=self._finite)
        return outputs

    def predict(self, value: Any, *, top: int = TOP) -> Prediction:
        """The answer for one input, with the `ignored_regions` that were left out of its picture.

        Args:
            value: What the model's preprocessing reads: for a picture a path, bytes, a file object,
                a Pillow image, uint8 pixels or a ready float sample; for other models a text, a
                number or numbers.
            top: How many labels to rank.

        Raises:
            InputError: the value cannot be used.
            UsageError: `top` is not in its range, `ptx.infer.ranges.SHOWN_LABELS`.
        """
        self._require_decoder()
        sample = self.preprocessing.transform(value)
        answer = self.predict_samples([sample], [input_name(value)], top=top)[0]
        # of `ptx.infer.digits.mnist.DigitPixels`
        ignored_regions = getattr(sample, "ignored_regions", ())
        return replace(answer, ignored_regions=ignored_regions) if ignored_regions else answer

    def predict_digits(self, value: Any, *, top: int = TOP) -> list[Prediction]:
        """The answer for each figure of a picture, left to right, with its `box` and the
        `ignored_regions`.

        Args:
            value: A picture as `predict` takes it, of one digit or several.
            top: How many labels to rank.

        Raises:
            InputError: the picture cannot be used, or shows nothing that is like a digit.
            UsageError: the model does not look for digits in pictures (the manifest's resize mode
                "mnist").
        """
        name, content = split_name(value)
        if isinstance(content, InputError):
            raise content
        found = detect_digits_in(self.preprocessing, content)
        answers = self.predict_samples(
            [seen.pixels for seen in found], [name] * len(found), top=top
        )
        return [
            replace(answer, box=seen.box, ignored_regions=seen.ignored_regions)
            for answer, seen in zip(answers, found, strict=True)
        ]

    @overload
    def predict_many(
        self,
        values: Iterable[Any] | Prefetcher,
        *,
        batch_size: int = 256,
        top: int = TOP,
    ) -> Iterator[Prediction]: ...

    @overload
    def predict_many(
        self,
        values: Iterable[Any] | Prefetcher,
        *,
        batch_size: int = 256,
        top: int = TOP,
        on_error: Literal["yield"],
    ) -> Iterator[Prediction | Failure]: ...

    def predict_many(
        self,
        values: Iterable[Any] | Prefetcher,
        *,
        batch_size: int = 256,
        top: int = TOP,
        on_error: Literal["raise", "yield"] = "raise",
    ) -> Iterator[Prediction | Failure]:
        """The predictions for a stream of inputs, in its order and in bounded memory.

        Args:
            values: Inputs as `predict` takes them; a thread decodes them while the batch before them
                is computed. A `ptx.infer.prefetch.Prefetcher` is taken in its own chunks.
            batch_size: Inputs that are decoded and computed at once.
            top: How many labels to rank.
            on_error: "raise" ends at the first input that cannot be used; "yield" gives a `Failure` in
                its place. Either way the inputs before it and, with "yield", after it are predicted.

        Raises:
            InputError: an input cannot be used, with `on_error="raise"`.
            UsageError: an argument is not valid.
        """
        BATCH_SIZE.check("the batch size", batch_size)
        SHOWN_LABELS.check("top", top)
        if on_error not in ON_ERROR:
            raise UsageError(f"on_error is {on_error!r}; {did_you_mean(on_error, ON_ERROR)}")
        if isinstance(values, str | bytes):
            raise UsageError(
                f"the inputs are one {type(values).__name__}; expected several of them, as in a list"
            )
        self._require_decoder()
        return predict_stream(self, values, batch_size, top, strict=on_error == "raise")

    def _require_decoder(self) -> None:
        """UsageError if the task does not say what the outputs mean."""
        if not self._task.has_decoder:
            self._task.decode(np.empty(0), (), 1)

    def predict_samples(
        self, samples: Sequence[Array], names: Sequence[str | None], *, top: int = TOP
    ) -> list[Prediction]:
        """The answers for samples that `preprocessing.transform` gave and that fit into one batch."""
        SHOWN_LABELS.check("top", top)
        if not samples:
            return []
        outputs = self.run(self.preprocessing.collate(samples))
        return self.decode_outputs(outputs, names, top=top, samples=samples)

    def decode_outputs(
        self,
        outputs: Mapping[str, Array],
        names: Sequence[str | None],
        *,
        top: int = TOP,
        samples: Sequence[Array] = (),
    ) -> list[Prediction]:
        """What the outputs of `run` say of each row.

        Args:
            outputs: What `run` gave.
            names: Of the inputs, one for each row.
            top: How many labels to rank.
            samples: What was run; the out-of-distribution detector looks at them.
        """
        first = outputs[self._output.name]
        if self._output.batch_axis:
            first = np.moveaxis(first, self._output.batch_axis, 0)
        if not self._finite and not np.isfinite(first.max(axis=-1)).all():
            raise ArtifactError(
                f"output {self._output.name!r} has no finite largest number, so it says nothing",
                code="E-NONFINITE",
            )
        name, model = self.backend.name, self.manifest.model
        errors = None
        if self._calibration is not None:
            errors = _ErrorProbabilities(self._calibration, first, samples)
        decided = zip(self._task.decode(first, self.manifest.labels, top), names, strict=True)
        return [
            Prediction(
                *said, model, name, given, None, partial(errors.of_row, row) if errors else None
            )
            for row, (said, given) in enumerate(decided)
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
        if process != _Process.pid:
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
        if process != _Process.pid:
            _leak(backend)

    def __reduce__(self) -> tuple[Callable[[], Predictor], tuple[()]]:
        reopen = self._require_reopen()
        try:
            pickle.dumps(reopen)
        except Exception as error:  # pickle has no base class of errors
            raise UsageError(
                f"the predictor of {self.manifest.model} cannot be pickled, since what it was"
                " loaded with"
                f" cannot: {error}; give a network as a function of a module"
            ) from error
        return reopen, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Predictor:
        return self._require_reopen()()

    def _require_reopen(self) -> Callable[[], Predictor]:
        if self._opened[1] is None:
            raise BackendError("the predictor has been closed", code="E-CLOSED")
        if self._reopen is None:
            raise UsageError(
                f"the predictor of {self.manifest.model} cannot be pickled or copied, since it was not"
                " loaded from a file: use ptx.infer.load with a path"
            )
        return self._reopen

    def __repr__(self) -> str:
        _, backend = self._opened
        if backend is None:
            return f"<Predictor of {self.manifest.model}, closed>"
        return f"<Predictor of {self.manifest.model} on {backend.name} ({backend.device})>"

    def _after_fork(self, inherited: Backend) -> Backend:
        """Open the backend anew in a forked child; the inherited one is never touched again."""
        if not BACKENDS[inherited.name].fork_safe:
            raise BackendError(
                f"backend {inherited.name!r} does not survive a fork: load the model in the child, or"
                " start the child with multiprocessing's 'spawn'",
                code="E-FORK",
            )
        _leak(inherited)
        backend = self._open_backend()
        self._opened = _Process.pid, backend
        return backend


class _ErrorProbabilities:
    """Those of a batch, computed when the first one is asked for."""

    def __init__(self, calibration: Calibration, logits: Array, samples: Sequence[Array]) -> None:
        self._compute = partial(calibration.error_probabilities, logits, samples)

    @cached_property
    def _rows(self) -> list[float] | None:
        return self._compute()

    def of_row(self, row: int) -> float | None:
        return None if self._rows is None else self._rows[row]


def _leak(inherited: Backend | None) -> None:
    """Keep what was opened before a fork: to destroy an ONNX Runtime session there hangs or crashes."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))
