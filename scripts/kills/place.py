"""Where the verbs run, a verb in a process of its own, how it is killed, what is on the disk."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PATIENCE = 600  # seconds that a verb may take, on a machine with much else to do
SUFFIXES = {"torchscript": ".torchscript", "onnx": ".onnx", "pt2": ".pt2"}
IMPORTED = ("matplotlib.figure", "onnx", "onnxruntime", "onnxscript", "ptx.cli.verbs.evaluate",
            "ptx.cli.verbs.export", "ptx.cli.verbs.predict", "ptx.cli.verbs.train", "ptx.export",
            "ptx.trainers")  # fmt: skip
PICTURES = 24  # of each of two classes


def temporaries(folder: Path) -> list[str]:
    """The names of temporary files in a folder."""
    try:
        return [name for name in os.listdir(folder) if name.endswith(".ptx-tmp")]  # noqa: PTH208 - the names alone
    except FileNotFoundError:
        return []


def weights_of(path: Path) -> str:
    """The digest of the weights that a file says it holds; "" where the file is not whole."""
    from ptx.infer.artifact.artifact import read_artifact
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


def prepare(place: Place, seed: int) -> None:
    """Import what the verbs need, and draw two classes of pictures."""
    import numpy as np
    import torch
    from PIL import Image

    torch.set_num_threads(1)
    for name in IMPORTED:
        import_module(name)
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
