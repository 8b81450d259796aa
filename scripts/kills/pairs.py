"""Two verbs at once in one workspace."""

from __future__ import annotations

import shutil

from disks import SPACE
from files import temporaries, weights_of
from place import Place
from tally import Row
from verb import run, start


def collide(place: Place, pairs: int) -> Row:
    """Two verbs at once in one workspace: both end right, or one says that it is busy."""
    row, checkpoints = Row("two at once"), place.checkpoints
    own = ["export", "convnet", "--format", "torchscript", "--workspace", str(place.workspace)]
    shutil.copy(checkpoints[0], place.model)
    for form in ("onnx", "torchscript"):
        run(place.export(form, checkpoints[0]))
    for _ in range(pairs):
        for first, second in (
            (place.train(), place.train("--seed", "1")),
            (place.export("onnx", checkpoints[0]), place.export("onnx", checkpoints[1])),
            (place.train(), own),
        ):
            outcomes = [verb.wait() for verb in (start(first), start(second))]
            row.counts["pairs"] += 1
            for code, errors in outcomes:
                busy = code == SPACE and "[E-BUSY]" in errors
                row.counts["busy"] += busy
                row.expect(code == 0 or busy, f"exit code {code}: {errors[-300:]}")
            row.expect(any(code == 0 for code, _ in outcomes), "neither of two was done")
            for name in ("checkpoint.pt", "convnet.onnx", "convnet.torchscript"):
                row.expect(weights_of(place.model / name), f"{name} is not whole")
            row.expect(not temporaries(place.model), "a temporary file was left behind")
    return row
