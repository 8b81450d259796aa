"""Small real artifacts for all tests: one model and format at a time, on first use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.infer.artifact import Artifact, read_artifact

# One thread, also in the processes that tests start: answers do not depend on how many there are, and
# threads of several libraries would fight for the processors.
os.environ.setdefault("OMP_NUM_THREADS", "1")

Checkpoint = Callable[[str], Path]
Export = Callable[[str, str], Path]
Child = Callable[..., subprocess.CompletedProcess[str]]

ROWS = 64  # of each split that a checkpoint is made from


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """`checkpoint(model)`: a sealed checkpoint of a catalog model, seeded and untrained.

    Its labels, preprocessing and real samples come from the model's own data in the bundled form.
    """
    import torch

    torch.set_num_threads(1)

    @cache
    def make(model: str) -> Path:
        folder = tmp_path_factory.mktemp(f"checkpoint-{model}")
        path = folder / "checkpoint.pt"
        path.write_bytes(_checkpoint(model, folder))
        return path

    return make


@pytest.fixture(scope="session")
def artifact(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """`artifact(model, format)`: an exported and proved file; "checkpoint" is a format too."""

    @cache
    def make(model: str, format_name: str) -> Path:
        if format_name == "checkpoint":
            return checkpoint(model)
        from ptx.export import export, read_source

        path = tmp_path_factory.mktemp(f"{format_name}-{model}") / f"{model}.{format_name}"
        with warnings.catch_warnings():
            # torch.export trips over warnings of its own parts once they are errors.
            warnings.simplefilter("ignore")
            return export(read_source(checkpoint(model)), format_name, path).path

    return make


@pytest.fixture(scope="session")
def linear_onnx(artifact: Export) -> Artifact:
    """The smallest ONNX artifact, read."""
    return read_artifact(artifact("linear-model", "onnx"))


@pytest.fixture(scope="session")
def child() -> Child:
    """`child(code, *arguments)`: run Python code in a process of its own, for at most 15 seconds.

    The code may call `drop_rights()` to go on as a user who is not root; what it imports stands before.
    """

    def run(
        code: str, *arguments: object, check: bool = True, timeout: float = 15, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-c", _DROP_RIGHTS + code, *map(str, arguments)]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        ) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # and what it has forked
                raise
        assert not check or process.returncode == 0, err
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    return run


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


_DROP_RIGHTS = """
def drop_rights():
    import os
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
"""


def _checkpoint(model: str, folder: Path) -> bytes:
    import torch

    from ptx.infer import zip_archive
    from ptx.models import CATALOG, build
    from ptx.models import checkpoint as checkpoints
    from ptx.trainers import documented_recipe, open_dataset, sample_inputs
    from ptx.trainers.data import Split
    from ptx.trainers.training import make_card

    def first(split: Split) -> Split:
        return split.take(np.arange(min(ROWS, len(split))))

    whole = open_dataset("bundled", default=CATALOG[model].data, cache=folder)
    data = replace(whole, train=first(whole.train), test=first(whole.test))
    card = make_card(model, data, documented_recipe(model), seed=0)
    torch.manual_seed(0)
    network = build(card.model, card.config)
    weights = network.state_dict()
    content = checkpoints.dumps(
        checkpoints.Checkpoint(weights=weights, samples=sample_inputs(card, data))
    )
    card = replace(card, weights_sha256=checkpoints.weights_digest(weights))
    return zip_archive.attach(content, card.to_json())
