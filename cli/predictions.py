"""The lines of `ptx predict`: predictions as text or JSON, and what is said about them on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from ptx import infer
from ptx.cli.streams import echo_error
from ptx.cli.terminal import print_note
from ptx.infer.errors import escape_controls, pluralise, quote

_LOW_CONFIDENCE = "low confidence: the label may be wrong, or the input may have none of the labels"


class PredictionLines:
    """Predictions as lines, counted; an unusable input goes to stderr, and into the JSON if it is on."""

    def __init__(
        self,
        as_json: bool,
        top: int,
        *,
        cosine: bool = False,
        succeeded: int = 0,
        failed: int = 0,
        ensure_ascii: bool = False,
    ) -> None:
        self.as_json, self.top, self.ensure_ascii = as_json, top, ensure_ascii
        self._cosine = cosine
        self._first: infer.Prediction | None = None
        self.succeeded, self.failed = succeeded, failed

    def format(self, results: Iterable[infer.Prediction | infer.Failure]) -> Iterator[str]:
        """A line for each result."""
        for result in self.watch(results):
            if self._cosine and isinstance(result, infer.Prediction):
                yield from self._compare(result)
            elif self.as_json:
                yield result.to_json(ensure_ascii=self.ensure_ascii)
            elif isinstance(result, infer.Failure):
                echo_error(_failure_text(result))
            else:
                yield _prediction_text(result, self.top)

    def _compare(self, prediction: infer.Prediction) -> Iterator[str]:
        """The cosine with the first prediction, for each later one."""
        if self._first is None:
            self._first = prediction
            prediction.cosine(prediction)  # refuses what is no embedding
            return
        cosine = self._first.cosine(prediction)
        if self.as_json:
            data = {"input": prediction.input, "other": self._first.input, "cosine": cosine}
            yield json.dumps(data, ensure_ascii=self.ensure_ascii)
        else:
            yield f"{_name(prediction)}: cosine {cosine:.4f} with {_name(self._first)}"

    def watch(
        self, results: Iterable[infer.Prediction | infer.Failure]
    ) -> Iterator[infer.Prediction | infer.Failure]:
        """The results, counted, with notes on stderr."""
        noted: tuple[str | None, object] | None = (
            None  # all digits of an image have the same regions
        )
        for result in results:
            if isinstance(result, infer.Failure):
                self.failed += 1
                yield result
                continue
            self.succeeded += 1
            if result.low_confidence:
                print_note(f"{_name(result)}: {_LOW_CONFIDENCE}")
            if result.ignored_regions and (result.input, result.ignored_regions) != noted:
                noted = result.input, result.ignored_regions
                print_note(f"{_name(result)}: {_ignored_regions_text(result.ignored_regions)}")
            yield result


def summary(succeeded: int, failed: int) -> str:
    """`12 predictions, 0 inputs that cannot be used`"""
    return f"{pluralise(succeeded, 'prediction')}, {pluralise(failed, 'input')} that cannot be used"


def _prediction_text(prediction: infer.Prediction, top: int) -> str:
    name = _name(prediction)
    if prediction.label is None:
        return f"{name}: {prediction.text}"
    ranking = ", ".join(f"{label} ({100 * score:.1f} %)" for label, score in prediction.top[:top])
    return f"{name}: {ranking}"


def _name(prediction: infer.Prediction) -> str:
    name = "-" if prediction.input is None else prediction.input
    if not name.isprintable():
        name = escape_controls(name)
    if prediction.box is None:
        return name
    left, upper, right, bottom = (f"{share:.0%}" for share in prediction.box)
    return f"{name} ({left} {upper} {right} {bottom})"


def _ignored_regions_text(regions: tuple[tuple[float, float, float, float], ...]) -> str:
    places = ", ".join(
        f"{left:.0%} from the left and {top:.0%} from the top" for left, top, _, _ in regions
    )
    return f"{pluralise(len(regions), 'smaller region')} ignored, {places}"


def _failure_text(failure: infer.Failure) -> str:
    text = " ".join(str(failure.error).split())
    name = quote(failure.input or "")[1:-1]
    prefix = "" if name in text else f"{name}: "
    return f"ptx: error [{failure.error.code}] {prefix}{text}"
