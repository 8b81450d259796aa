"""ptx sign, and ptx verify --signer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ptx.infer.artifact.artifact import Artifact


@pytest.fixture
def model(linear_onnx: Artifact, tmp_path: Path) -> Path:
    return Path(shutil.copy(linear_onnx.path, tmp_path / "linear.onnx"))


def test_a_signed_file_is_verified_with_its_other_checks(
    ptx: Any, model: Path, signers: Path
) -> None:
    done = ptx("sign", model, "--key", signers / "key.pem")
    assert done.code == 0, done.err
    assert f"{model}.sig" in done.out
    done = ptx("verify", model, "--signer", signers / "key.pub", "--json", "--backend", "ort-cpu")
    assert done.code == 0, done.err
    checks = [json.loads(line) for line in done.out.splitlines()]
    assert checks[0]["check"] == "signature"
    assert len(checks) > 3
    assert all(check["passes"] for check in checks)


def test_a_file_that_is_not_signed_by_the_signer_is_exit_4(
    ptx: Any, model: Path, signers: Path
) -> None:
    signer = ["--signer", signers / "key.pub"]
    done = ptx("verify", model, *signer)
    assert (done.code, done.out) == (4, "")
    assert "[E-SIGN-MISSING]" in done.err
    signature = model.with_name("kept-elsewhere")
    assert ptx("sign", model, "--key", signers / "other.pem", "--output", signature).code == 0
    done = ptx("verify", model, *signer, "--signature", signature)
    assert (done.code, done.out) == (4, "")
    assert "[E-SIGN-SIGNER]" in done.err


def test_the_password_comes_from_the_environment(
    ptx: Any, model: Path, signers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTX_KEY_PASSWORD", "secret")
    assert ptx("sign", model, "--key", signers / "encrypted.pem").code == 0


def test_a_signature_that_cannot_be_written_is_exit_5(
    ptx: Any, model: Path, signers: Path, tmp_path: Path
) -> None:
    done = ptx("sign", model, "--key", signers / "key.pem", "--output", tmp_path / "none" / "x.sig")
    assert done.code == 5
    assert "[E-OUT-PARENT]" in done.err
