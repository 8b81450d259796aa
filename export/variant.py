"""Variants of an exported file: quantized weights, int8 arithmetic, embedded preprocessing, runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ptx.infer.errors import UsageError

if TYPE_CHECKING:
    from ptx.export.source import TrainedModel

WEIGHT_DTYPES = ("float16", "int8")
COMPUTE_DTYPES = ("float32", "int8")
INT8_SUFFIX = ".compute-int8"
AUTO, ORT = "auto", "ort"
RUNTIMES = (AUTO, "javascript", ORT)


@dataclass(frozen=True)
class ExportVariant:
    """What an export changes.

    Attributes:
        quantize_weights: One of WEIGHT_DTYPES; None stores the weights as they are.
        compute: One of COMPUTE_DTYPES.
        max_drop: Allowed accuracy drop of int8 arithmetic, in percentage points; None for the default.
        for_size: Whether an int8 file that is not faster is accepted because it is smaller.
        embed_preprocessing: Whether the graph takes pixels and normalizes them.
        runtime: The JavaScript runtime of a page, one of RUNTIMES.
    """

    quantize_weights: str | None = None
    compute: str = COMPUTE_DTYPES[0]
    max_drop: float | None = None
    for_size: bool = False
    embed_preprocessing: bool = False
    runtime: str = AUTO

    @property
    def in_int8(self) -> bool:
        """Whether the file computes in int8."""
        return self.compute != COMPUTE_DTYPES[0]

    @property
    def suffix(self) -> str:
        """Inserted before the format's suffix: for example `.int8.pixels`, or empty."""
        return (
            (f".{self.quantize_weights}" if self.quantize_weights else "")
            + (INT8_SUFFIX if self.in_int8 else "")
            + (".pixels" if self.embed_preprocessing else "")
            + (f".{ORT}" if self.runtime == ORT else "")
        )

    def check(self, formats: Sequence[str]) -> None:
        """Check that the formats have this variant, before any work.

        Raises:
            UsageError: a format has no such variant, or two options exclude each other.
        """
        from ptx.export.formats import check_format

        for name in formats:
            check_format(
                name,
                weights=self.quantize_weights or "",
                compute=self.compute if self.in_int8 else "",
                runtime="" if self.runtime == AUTO else self.runtime,
            )
        if self.in_int8 and self.quantize_weights is not None:
            raise UsageError(
                f"--quantize-weights {self.quantize_weights} and --compute int8 both quantize the"
                " weights: give one of them"
            )
        if not self.in_int8 and (self.for_size or self.max_drop is not None):
            raise UsageError("--max-accuracy-drop and --for-size need --compute int8")

    def apply(self, trained: TrainedModel) -> TrainedModel:
        """The model with the changes of this variant.

        Raises:
            UsageError: the preprocessing of the model cannot be embedded.
            ArtifactError: its weights cannot be quantized.
        """
        from ptx.export.pixel_inputs import embed_preprocessing
        from ptx.export.quantize.weights import quantize_weights

        if self.runtime != AUTO:
            trained = replace(trained, runtime=self.runtime)
        if self.quantize_weights is not None:
            trained = quantize_weights(trained, self.quantize_weights)
        if self.embed_preprocessing:
            trained = embed_preprocessing(trained)
        return trained
