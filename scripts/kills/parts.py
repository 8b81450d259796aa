"""The parts of the kill test: verbs killed, verbs on full disks, two verbs at once."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from place import SUFFIXES, Place, Verb, kill, run, start, temporaries, weights_of

ENDED = (-9, -15, 130, 143, 0)  # how a verb may end that is killed; 0: it was quicker
SPACE = 5  # exit code of a verb that cannot write its result


@dataclass
class Row:
    what: str
    counts: Counter[str] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)

    def expect(self, holds: object, what: str) -> None:
        """Count a check, and keep what it says where it does not hold."""
        self.counts["checks"] += 1
        if not holds:
            self.losses.append(f"{self.what}: {what}")


def kill_training(place: Place, kills: int, dice: random.Random) -> Row:
    """Chains of resumed runs: each must end with the weights of the run that was left alone."""
    row = Row("train")
    whole, checkpoint = place.root / "whole", place.model / "checkpoint.pt"
    shutil.rmtree(whole)
    begun = time.monotonic()
    run(place.train(workspace=whole))
    duration, expected = time.monotonic() - begun, weights_of(whole / "convnet" / "checkpoint.pt")
    while row.counts["kills"] < kills or checkpoint.exists():
        resume = ["--resume"] if checkpoint.exists() else []
        verb = start(place.train(*resume))
        last = row.counts["kills"] >= kills
        if not last:
            kill(verb, place.model, 10, dice, duration)
        code = ended(row, verb)
        if checkpoint.exists():
            row.expect(weights_of(checkpoint), "a checkpoint that is not whole")
        elif resume:
            row.expect(False, "the checkpoint has gone")
        if code == 0:
            row.counts["resumed runs"] += 1
            row.expect(weights_of(checkpoint) == expected, "other weights than without the kills")
            row.expect(not temporaries(place.model), "a temporary file was left behind")
            shutil.rmtree(place.model)
    place.model.mkdir()
    return row


def kill_exports(place: Place, kills: int, dice: random.Random) -> Row:
    """A file of one checkpoint is replaced by one of another, which is killed."""
    row, checkpoints = Row("export"), place.checkpoints
    known = {weights_of(path) for path in checkpoints}
    durations = {}
    for form in SUFFIXES:
        begun = time.monotonic()
        run(place.export(form, checkpoints[0]))
        durations[form] = time.monotonic() - begun
    while row.counts["kills"] < kills:
        form = list(SUFFIXES)[row.counts["kills"] % len(SUFFIXES)]
        target = place.model / f"convnet{SUFFIXES[form]}"
        before = target.read_bytes()
        newer = next(path for path in checkpoints if weights_of(path) != weights_of(target))
        verb = start(place.export(form, newer))
        kill(verb, place.model, 2, dice, durations[form])
        ended(row, verb)
        check_export(row, place, target, before, known)
    for form in SUFFIXES:
        run(place.export(form, checkpoints[0]))
    left = [*temporaries(place.model), *temporaries(place.workspace / "exported")]
    row.expect(not left, f"left behind: {left}")
    return row


def kill_predictions(place: Place, kills: int, dice: random.Random) -> Row:
    """A file of answers is replaced by the same ones, or stays."""
    row = Row("predict --output")
    begun = time.monotonic()
    run(place.predict())
    duration, new = time.monotonic() - begun, place.answers.read_bytes()
    while row.counts["kills"] < kills:
        old = b"what was there before\n"
        place.answers.write_bytes(old)
        verb = start(place.predict())
        kill(verb, place.answers.parent, 2, dice, duration)
        code = ended(row, verb)
        found = place.answers.read_bytes()
        row.counts["new"] += found == new
        row.expect(found == new if code == 0 else found in (old, new), "answers that are not whole")
    run(place.predict())
    left = [path.name for path in place.answers.parent.iterdir() if path != place.answers]
    row.expect(not left, f"left behind: {left}")
    return row


def check_export(row: Row, place: Place, target: Path, before: bytes, known: set[str]) -> None:
    """The file is the old one or the new one, and may be run without --trust."""
    from ptx.infer.artifact.artifact import read_artifact

    row.expect(weights_of(target) in known, f"{target.name} is not whole")
    if target.read_bytes() != before:
        row.counts["new"] += 1
    artifact = read_artifact(target)
    trusted = (place.workspace / "exported" / artifact.sha256).exists()
    row.expect(trusted or not artifact.format.is_program, f"{target.name} is not in the ledger")


def ended(row: Row, verb: Verb) -> int:
    """Wait for a verb that was killed, and check how it ended."""
    code, errors = verb.wait()
    row.counts["kills"] += code != 0
    row.expect(code in ENDED, f"exit code {code}: {errors[-300:]}")
    row.expect("Traceback" not in errors, errors[-300:])
    return code


def fill_disks(place: Place) -> Row:
    """Each verb under limits of the file size, and on a small disk where one can be mounted."""
    row = Row("full disk")
    checkpoint, other = place.checkpoints
    verbs: dict[Path, Callable[[], list[str]]] = {
        place.answers: place.predict,
        **{place.model / f"convnet{suffix}": partial(place.export, form, checkpoint)
           for form, suffix in SUFFIXES.items()},
        place.model / "checkpoint.pt": place.train,
    }  # fmt: skip
    shutil.copy(other, place.model)
    for form in SUFFIXES:
        run(place.export(form, other))
    run(place.predict())
    for target, arguments in verbs.items():
        before = target.read_bytes()
        for limit in (0, 1000, len(before) // 2, len(before) * 9 // 10):
            verb = start(arguments(), file_limit=limit)
            code, errors = verb.wait()
            check_full(row, target, before, code, errors)
    with small_disk(place.root / "disk", 700) as disk:
        if disk:
            row.counts["on a small disk"] += 1
            fill_small_disk(row, place, disk)
    return row


def fill_small_disk(row: Row, place: Place, disk: Path) -> None:
    """A checkpoint of 600 kB is there, and there is no room for the next one beside it."""
    run(place.train("--epochs", "1", workspace=disk))
    target = disk / "convnet" / "checkpoint.pt"
    before = target.read_bytes()
    free = os.statvfs(disk)
    (disk / "other").write_bytes(bytes(free.f_bavail * free.f_bsize - len(before) // 2))
    code, errors = start(place.train("--seed", "2", workspace=disk)).wait()
    check_full(row, target, before, code, errors)


def check_full(row: Row, target: Path, before: bytes, code: int, errors: str) -> None:
    row.counts["full"] += 1
    row.expect(code == SPACE, f"{target.name}: exit code {code}: {errors[-300:]}")
    row.expect("[E-OUT-SPACE]" in errors, errors[-300:])
    row.expect(target.read_bytes() == before, f"{target.name} is no longer what it was")
    row.expect(not temporaries(target.parent), f"left behind beside {target.name}")


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path | None]:
    """A disk of that size mounted there; None for users who may not."""
    folder.mkdir()
    size = f"size={kilobytes}k"
    mount = ["mount", "-t", "tmpfs", "-o", size, "ptx", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=False)  # noqa: S607


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
