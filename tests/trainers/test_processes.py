"""Training on several processes: the same steps, whatever their number."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from ptx.infer.artifact.artifact import read_artifact
from ptx.trainers.processes import Group, process_group


@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize(("size", "count"), [(1, 5), (2, 5), (3, 3), (4, 3), (7, 100)])
def test_the_average_of_the_shares_is_the_whole_loss(size: int, count: int, summed: bool) -> None:
    rows = torch.arange(10, 10 + count)
    losses = rows.double() ** 2
    whole = losses.sum() if summed else losses.mean()
    shares, seen = [], []
    for rank in range(size):
        group = Group(rank, size)
        mine = group.shard(rows)
        own = mine.double() ** 2
        shares.append(group.scale_loss(own.sum() if summed else own.mean(), rows, summed=summed))
        seen += mine.tolist() if group.has_rows(rows) else []
    assert torch.isclose(torch.stack(shares).mean(), whole)
    assert sorted(seen) == rows.tolist()


@pytest.mark.parametrize("device", ["cuda:1", "cpu"])
def test_the_group_is_told_the_device_of_its_process(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """NCCL takes it from there; without, PyTorch warns and guesses it by the rank."""
    for name, value in {"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    asked: dict[str, Any] = {}
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(
        distributed,
        "init_process_group",
        lambda backend, **more: asked.update(more, backend=backend),
    )
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: None)
    with process_group(device) as group:
        assert (group.rank, group.size) == (1, 2)
    expected = {"backend": "cpu:gloo,cuda:nccl", "device_id": torch.device("cuda:1")}
    assert asked == (expected if device == "cuda:1" else {"backend": "gloo"})


MODEL = "diabetes"  # 768 rows


def arguments(root: Path, *options: object) -> list[str]:
    return ["train", MODEL, "--data", "bundled", "--workspace", *map(str, (root, *options))]


def command(processes: int, restarts: int = 0) -> list[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    options = ["--nproc-per-node", str(processes), "--max-restarts", str(restarts)]
    return [*launcher, *options, "-m", "ptx.cli"]


def train(root: Path, *options: object, processes: int) -> subprocess.CompletedProcess[str]:
    script = [*command(processes), *arguments(root, *options)]
    return subprocess.run(script, capture_output=True, text=True, timeout=300)


def losses(root: Path) -> list[float]:
    with (root / MODEL / "metrics.csv").open() as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file)]


def wait_for_checkpoint(root: Path) -> Path:
    checkpoint, limit = root / MODEL / "checkpoint.pt", time.monotonic() + 120
    while not checkpoint.exists():
        assert time.monotonic() < limit
        time.sleep(0.05)
    return checkpoint


def test_three_processes_train_as_one_and_one_goes_on(tmp_path: Path, ptx: Any) -> None:
    three = train(tmp_path / "three", "--epochs", 1, processes=3)
    assert three.returncode == 0, three.stderr
    assert three.stdout.count("trained on") == 1
    for options in (("three", "--resume"), ("one",)):
        done = ptx(*arguments(tmp_path / options[0], "--epochs", 2, *options[1:]))
        assert done.code == 0, done.err
    assert losses(tmp_path / "three") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)


@contextmanager
def torchrun(root: Path, *options: object, restarts: int = 0) -> Iterator[subprocess.Popen[str]]:
    """torchrun on two processes, the second of which is killed once there is a checkpoint."""
    script = [*command(2, restarts), *arguments(root, *options)]
    with subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            wait_for_checkpoint(root)
            children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
            os.kill(int(children[1]), signal.SIGKILL)
            yield run
        finally:
            run.terminate()


def test_a_process_killed_under_torchrun_ends_all_and_the_training_is_resumed(
    tmp_path: Path,
) -> None:
    with torchrun(tmp_path, "--epochs", 100_000) as run:
        out, err = run.communicate(timeout=120)
    assert run.returncode == 1  # torchrun's own, for whatever failed
    errors = [line for line in err.splitlines() if line.startswith("ptx: error")]
    assert len(errors) == 1, err
    assert "[E-PEER]" in errors[0]
    assert "exitcode  : 6" in err
    assert "ptx/trainers" not in out + err  # the traceback is torchrun's alone
    done = read_artifact(tmp_path / MODEL / "checkpoint.pt").require_manifest().training["epochs"]
    resumed = train(tmp_path, "--resume", "--epochs", done + 1, processes=3)
    assert resumed.returncode == 0, resumed.stderr
    assert len(losses(tmp_path)) == done + 1


def test_torchrun_starts_the_processes_again_and_they_go_on(tmp_path: Path) -> None:
    with torchrun(tmp_path, "--epochs", 60, "--resume", restarts=1) as run:
        out, err = run.communicate(timeout=240)
    assert run.returncode == 0, err
    assert err.count("[E-PEER]") == 1
    assert out.count("trained on") == 1
    assert len(losses(tmp_path)) == 60
    whole = train(tmp_path / "whole", "--epochs", 60, processes=2)
    assert whole.returncode == 0, whole.stderr
    assert losses(tmp_path) == pytest.approx(losses(tmp_path / "whole"), rel=1e-6)
