"""Kill `ptx train`, `export` and `predict --output` at random moments and check what is on the disk.

Half of the kills fall at any moment, half while a file is being written. After each one every file that
was there must still be whole, or the new one must be; a resumed training must end with the weights of a
run that was left alone. Full disks, and two processes at once, are tried too. Exit code 1 on any loss.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
ENDED = (-9, -15, 130, 143, 0)  # how a verb may end that is killed; 0: it was quicker
SPACE = 5  # exit code of a verb that cannot write its result
SUFFIXES = {"torchscript": ".torchscript", "onnx": ".onnx", "pt2": ".pt2"}
PICTURES = 24  # of each of two classes
PATIENCE = 600  # seconds that a verb may take, on a machine with much else to do


@dataclass
class Row:
    """A line of the table."""

    what: str
    counts: Counter[str] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)

    def expect(self, holds: object, what: str) -> None:
        """Count a check, and keep what it says where it does not hold."""
        self.counts["checks"] += 1
        if not holds:
            self.losses.append(f"{self.what}: {what}")


@dataclass
class Place:
    """A folder with pictures, a workspace, and what the verbs are called with."""

    root: Path

    @property
    def workspace(self) -> Path:
        return self.root / "runs"

    @property
    def model(self) -> Path:
        return self.workspace / "convnet"

    @property
    def checkpoints(self) -> list[Path]:
        """Of two runs that were left alone."""
        return [self.root / name / "convnet" / "checkpoint.pt" for name in ("whole", "other")]

    @property
    def answers(self) -> Path:
        return self.root / "out" / "answers.jsonl"

    def train(self, *more: str, workspace: Path | None = None) -> list[str]:
        return ["train", "convnet", "--data", str(self.root / "data"), "--epochs", "6",
                "--batch-size", "8", "--device", "cpu", *more,
                "--workspace", str(workspace or self.workspace)]  # fmt: skip

    def export(self, form: str, checkpoint: Path) -> list[str]:
        target = self.model / f"convnet{SUFFIXES[form]}"
        return ["export", "convnet", "--format", form, "--checkpoint", str(checkpoint),
                "--output", str(target), "--workspace", str(self.workspace)]  # fmt: skip

    def predict(self) -> list[str]:
        return ["predict", str(self.root / "data"), "--model", str(self.root / "model.onnx"),
                "--backend", "ort-cpu", "--output", str(self.answers)]  # fmt: skip


@dataclass
class Verb:
    """A verb that runs in a child of its own."""

    pid: int
    errors: int  # the reading end of its stderr, a pipe: a file would count as one that it writes

    def wait(self) -> tuple[int, str]:
        """Its exit code and what it wrote to stderr."""
        with os.fdopen(self.errors, errors="replace") as stream:
            text = stream.read()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), text


def start(arguments: Sequence[str], file_limit: int | None = None) -> Verb:
    """`ptx` with these arguments, as the command line runs it, in a fork of this process.

    PyTorch has been imported and nothing of it was run, so that a child begins at once.
    """
    from ptx.cli import main

    read, write = os.pipe()
    # A signal during the fork would strike in the middle of what Python does after it.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.close(write)
        return Verb(pid, read)
    code: object = 99
    try:
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.dup2(write, 2)
        os.close(write)
        signal.alarm(PATIENCE)
        sys.argv = ["ptx", *arguments]
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        main()
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:  # before the verb had begun
        code = 128 + signal.SIGINT
    finally:
        os._exit(code if isinstance(code, int) else 0)


def run(arguments: Sequence[str]) -> None:
    """A verb that must succeed."""
    code, errors = start(arguments).wait()
    if code:
        raise SystemExit(f"ptx {' '.join(arguments)} ended with {code}: {errors}")


def kill(verb: Verb, folder: Path, writes: int, dice: random.Random, duration: float) -> None:
    """Kill at any moment, or as soon as one of its `writes` temporary files is there."""
    number = dice.choice(SIGNALS)
    if dice.random() < 0.5:
        time.sleep(dice.uniform(0, duration))
    else:
        seen: set[str] = set()
        count, deadline = dice.randint(1, writes), time.monotonic() + duration
        while len(seen) < count and time.monotonic() < deadline:
            seen |= set(temporaries(folder))
        time.sleep(dice.choice((0.0, 0.0, 0.001)))
    os.kill(verb.pid, number)  # it has not been waited for: there is no other of this number


def temporaries(folder: Path) -> list[str]:
    """The names of temporary files in a folder."""
    try:
        return [name for name in os.listdir(folder) if name.endswith(".ptx-tmp")]  # noqa: PTH208
    except FileNotFoundError:
        return []


def weights_of(path: Path) -> str:
    """The digest of the weights that a file says it holds; "" where the file is not whole."""
    from ptx.infer.artifact import read_artifact
    from ptx.infer.errors import PtxError
    from ptx.models.checkpoint import loads, weights_digest

    try:
        artifact = read_artifact(path)
        digest = artifact.require_card().weights_sha256
        if artifact.kind == "checkpoint" and weights_digest(loads(artifact.data).weights) != digest:
            return ""
    except PtxError:
        return ""
    return digest


def ended(row: Row, verb: Verb) -> int:
    """Wait for a verb that was killed, and check how it ended."""
    code, errors = verb.wait()
    row.counts["kills"] += code != 0
    row.expect(code in ENDED, f"exit code {code}: {errors[-300:]}")
    row.expect("Traceback" not in errors, errors[-300:])
    return code


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


def check_export(row: Row, place: Place, target: Path, before: bytes, known: set[str]) -> None:
    """The file is the old one or the new one, and may be run without --trust."""
    from ptx.infer.artifact import read_artifact
    from ptx.infer.trust import PROGRAMS

    row.expect(weights_of(target) in known, f"{target.name} is not whole")
    if target.read_bytes() != before:
        row.counts["new"] += 1
    artifact = read_artifact(target)
    trusted = (place.workspace / "exported" / artifact.sha256).exists()
    row.expect(trusted or artifact.kind not in PROGRAMS, f"{target.name} is not in the ledger")


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


def fill_small_disk(row: Row, place: Place, disk: Path) -> None:
    """A checkpoint of 600 kB is there, and there is no room for the next one beside it."""
    run(place.train("--epochs", "1", workspace=disk))
    target = disk / "convnet" / "checkpoint.pt"
    before = target.read_bytes()
    free = os.statvfs(disk)
    (disk / "other").write_bytes(bytes(free.f_bavail * free.f_bsize - len(before) // 2))
    code, errors = start(place.train("--seed", "2", workspace=disk)).wait()
    check_full(row, target, before, code, errors)


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


def prepare(place: Place, seed: int) -> None:
    """Import what the verbs need, and draw two classes of pictures."""
    import numpy as np
    import torch
    from PIL import Image

    torch.set_num_threads(1)
    import matplotlib.figure
    import onnx
    import onnxruntime
    import onnxscript

    import ptx.cli.evaluate
    import ptx.cli.export
    import ptx.cli.predict
    import ptx.cli.train
    import ptx.export
    import ptx.trainers

    imported = (matplotlib.figure, onnx, onnxruntime, onnxscript, ptx.cli.evaluate,
                ptx.cli.export, ptx.cli.predict, ptx.cli.train, ptx.export, ptx.trainers)  # fmt: skip
    assert all(imported)
    noise = np.random.default_rng(seed)
    for label, columns in (("left", slice(4, 10)), ("right", slice(18, 24))):
        (place.root / "data" / label).mkdir(parents=True)
        for index in range(PICTURES):
            pixels = noise.integers(0, 99, (28, 28)).astype(np.uint8)
            pixels[4:24, columns] = 255
            Image.fromarray(pixels).save(place.root / "data" / label / f"{index}.png")
    run(place.train(workspace=place.root / "whole"))
    run(place.train("--seed", "1", workspace=place.root / "other"))
    place.model.mkdir(parents=True)
    place.answers.parent.mkdir()
    run(place.export("onnx", place.checkpoints[0]))
    shutil.move(place.model / "convnet.onnx", place.root / "model.onnx")


def report(rows: Sequence[Row]) -> int:
    """Print the table; 1 where something was lost."""
    lost = sum(len(row.losses) for row in rows)
    kills = sum(row.counts["kills"] for row in rows)
    for row in rows:
        counts = ", ".join(f"{count} {what}" for what, count in row.counts.items())
        print(f"{row.what + ':':20}{counts}; lost {len(row.losses)}")
    print(f"{kills} kills, files lost: {lost}")
    for row in rows:
        for loss in row.losses:
            print(f"LOST {loss}", file=sys.stderr)
    return 1 if lost else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="in all (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", default="train,export,predict,disks,pairs",
                        help="some of these, with commas (default: %(default)s)")  # fmt: skip
    options = parser.parse_args()
    parts = options.parts.split(",")
    dice = random.Random(options.seed)  # noqa: S311 - no secret is made of it
    # Not a TemporaryDirectory: a verb would take it away when it ends, as it has inherited it.
    root = tempfile.mkdtemp(prefix="ptx-kill-")
    try:
        place = Place(Path(root))
        prepare(place, options.seed)
        killed = [part for part in ("train", "train", "export", "predict") if part in parts]
        share = {part: options.kills * killed.count(part) // len(killed) for part in set(killed)}
        rows = []
        if "train" in parts:
            rows.append(kill_training(place, share["train"], dice))
        if "export" in parts:
            rows.append(kill_exports(place, share["export"], dice))
        if "predict" in parts:
            rows.append(kill_predictions(place, share["predict"], dice))
        if "disks" in parts:
            rows.append(fill_disks(place))
        if "pairs" in parts:
            rows.append(collide(place, max(1, options.kills // 40)))
        return report(rows)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    sys.exit(main())
