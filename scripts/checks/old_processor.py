"""A file in int8 on a processor without VNNI: the same bits as here, or not?

    apt-get install qemu-user
    ./scripts/run checks/old_processor runs/mlp/mlp.compute-int8.onnx
    ./scripts/run checks/old_processor FILE --cpu Haswell-noTSX --pictures 300 --data mnist

The file's outputs for test pictures are computed here and by the same Python under qemu's emulation of
an older processor, one by one and in a batch. Exit code 1 where a bit differs. Weights of 8 whole bits
saturate there: the sums of two products do not fit into 16 bits.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from ptx.infer import load
from ptx.infer.errors import pluralise
from ptx.infer.signature import Array

CPU = "Haswell-noTSX"  # AVX2, and neither AVX-512 nor VNNI


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--cpu", default=CPU)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--data", default="bundled")
    parser.add_argument("--inputs", type=Path, help=argparse.SUPPRESS)  # of the emulated process
    asked = parser.parse_args()
    if asked.inputs is not None:
        np.save(asked.inputs.with_suffix(".out.npy"), run(asked.file, np.load(asked.inputs)))
        return 0
    emulator = shutil.which("qemu-x86_64")
    if emulator is None:
        print("qemu-x86_64 is not installed: apt-get install qemu-user")
        return 3
    inputs = find_inputs(asked.file, asked.data, asked.pictures)
    here = run(asked.file, inputs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "inputs.npy")
        np.save(path, inputs)
        there = run_under([emulator, "-cpu", asked.cpu], asked.file, path)
    differ = (here != there).reshape(len(here), -1).any(axis=1)
    labels = here.argmax(-1) != there.argmax(-1)
    print(
        f"{asked.file.name}: {pluralise(len(here), 'picture')} here and on {asked.cpu}:"
        f" {int(differ.sum())} with other bits, {int(labels.sum())} with another label, largest"
        f" difference {np.abs(here - there).max():.3g}"
    )
    return int(differ.any())


def find_inputs(file: Path, data: str, count: int) -> Array:
    """The first test rows as the file's input array."""
    from ptx.trainers import model_inputs, open_dataset

    dataset = open_dataset(data, default="mnist", cache=Path("runs", "data"))
    with load(file, backend="ort-cpu") as predictor:
        (spec,) = predictor.signature.inputs
        _, inputs = next(iter(model_inputs(dataset.test, predictor.preprocessing)))
        rows: Array = np.take(inputs[spec.name], range(count), spec.batch_axis)
    return rows


def run(file: Path, rows: Array) -> Array:
    """The first output for each row: one by one, and once more in one batch, which must be the same."""
    with load(file, backend="ort-cpu", threads=1) as predictor:
        (spec,), first = predictor.signature.inputs, predictor.signature.outputs[0]
        whole: Array = predictor.run({spec.name: rows})[first.name]
        count = rows.shape[spec.batch_axis]
        alone = [
            predictor.run({spec.name: np.take(rows, [row], spec.batch_axis)})[first.name]
            for row in range(count)
        ]
        assert np.concatenate(alone, first.batch_axis).tobytes() == whole.tobytes()
    return whole


def run_under(emulator: list[str], file: Path, inputs: Path) -> Array:
    """The same in a process of the emulated processor."""
    command = [*emulator, sys.executable, __file__, str(file), "--inputs", str(inputs)]
    environment = {**os.environ, "OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment)
    there: Array = np.load(inputs.with_suffix(".out.npy"))
    return there


if __name__ == "__main__":
    sys.exit(main())
