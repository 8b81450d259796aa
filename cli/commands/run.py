"""ptx run"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ptx import infer
from ptx.cli import options
from ptx.cli.arrays import read_arrays
from ptx.cli.model import open_model, resolve_model
from ptx.cli.streams import echo
from ptx.cli.terminal import print_summary, table
from ptx.cli.workspace import Workspace
from ptx.infer.artifact.files import check_writable, write_atomic
from ptx.infer.errors import UsageError, quote


@click.command(
    epilog="\b\nExamples:\n  ptx run convnet images.npy --output logits.npy\n"
    "  ptx run runs/convnet/convnet.onnx image=images.npy --output outputs.npz",
)
@click.argument("model", shell_complete=options.complete_model)
@click.argument(
    "inputs", nargs=-1, required=True, metavar="INPUT...", shell_complete=options.complete_file
)
@options.backend
@options.device
@options.precision
@options.threads
@options.trust
@options.spec_file
@options.allow_nonfinite
@options.output("Write the outputs to this file: .npz, or .npy if there is one output.")
@options.workspace
@options.time_limit
@options.common
def run(
    model: str,
    inputs: tuple[str, ...],
    backend: str,
    device: str,
    precision: str,
    threads: int | None,
    trust: bool,
    spec_file: Path | None,
    allow_nonfinite: bool,
    output: Path | None,
    workspace: Path,
) -> None:
    """Run MODEL on arrays, without preprocessing and without labels.

    An INPUT is a .npz file with an array for each input of the model, a .npy file, or NAME=FILE.npy if
    the model has several inputs. In a .npz file, the arrays of a sequence are NAME[0], NAME[1] and so
    on. An ONNX file that ptx did not export needs no --spec.
    """
    if output is not None:
        if output.suffix not in (".npy", ".npz"):
            raise UsageError(f"--output {quote(output)}: expected a name that ends in .npz or .npy")
        check_writable(output)
    space = Workspace(workspace)
    opening = infer.Options(
        device=device, precision=precision, threads=threads, trust=space.trust(trust)
    )
    resolved = resolve_model(space, model, backend, spec_file=spec_file, raw=True)
    names = [spec.name for spec in resolved.manifest.signature.outputs]
    if output is not None and output.suffix == ".npy" and len(names) > 1:
        raise UsageError(
            f"a .npy file has one array, and the model has the outputs {', '.join(names)}: use .npz"
        )
    arrays = read_arrays(inputs, [spec.name for spec in resolved.manifest.signature.inputs])
    with open_model(resolved, opening, allow_nonfinite=allow_nonfinite) as predictor:
        outputs = predictor.run(arrays)
    if output is not None:
        write_atomic(output, _to_bytes(output, outputs))
    echo(table(("output", "dtype", "shape", "min", "mean", "max"), _facts(outputs)))
    if output is not None:
        print_summary(str(output))


def _to_bytes(path: Path, outputs: Mapping[str, Any]) -> bytes:
    import io

    import numpy as np

    from ptx.infer.tables.npz import write_npz

    if path.suffix == ".npz":
        return write_npz(outputs)
    content = io.BytesIO()
    (array,) = outputs.values()
    np.save(content, array, allow_pickle=False)
    return content.getvalue()


def _facts(outputs: Mapping[str, Any]) -> list[tuple[str, ...]]:
    import numpy as np

    rows: list[tuple[str, ...]] = []
    for name, value in outputs.items():
        elements = {name: value}
        if isinstance(value, list):
            elements = {f"{name}[{index}]": array for index, array in enumerate(value)}
        for title, array in elements.items():
            if array is None:
                rows.append((title, "-", "absent", "", "", ""))
                continue
            numbers = np.asarray(array)
            facts: tuple[str, ...] = ("", "", "")
            if numbers.size and numbers.dtype.kind in "fiu":
                facts = tuple(
                    f"{value:.6g}" for value in (numbers.min(), numbers.mean(), numbers.max())
                )
            rows.append((title, str(numbers.dtype), str(numbers.shape), *facts))
    return rows
