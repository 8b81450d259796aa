"""Programs are run where somebody vouches for them, and data always."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ptx.infer.artifact.artifact import read_artifact
from ptx.infer.errors import ArtifactError
from ptx.infer.loading import load
from ptx.infer.verification import verify

Export = Callable[[str, str], Path]
Writing = tuple[Path, Path]  # an archive, and the file that it writes when it is loaded


def test_a_program_writes_its_file_when_it_is_loaded(writing: Writing) -> None:
    """What the other tests keep from happening."""
    path, marker = writing
    with load(path, trust=True, device="cpu") as predictor:
        assert predictor.backend.name == "torchscript"
    assert marker.exists()


@pytest.mark.parametrize("trust", [False, (), frozenset({"0" * 64}), ["", "abc"]])
def test_a_digested_program_of_somebody_else_does_not_get_to(writing: Writing, trust: Any) -> None:
    path, marker = writing
    assert read_artifact(path).digest_ok
    for attempt in (load, verify):
        with pytest.raises(ArtifactError, match="not exported here") as caught:
            attempt(path, trust=trust)
        assert (caught.value.code, caught.value.exit_code) == ("E-TRUST", 4)
        assert "--trust" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not marker.exists()


def test_reading_and_checking_without_running_needs_no_trust(writing: Writing) -> None:
    path, marker = writing
    assert read_artifact(path).require_manifest().model == "linear-model"
    checks = verify(path, run=False)
    assert [(check.name, check.passed) for check in checks] == [
        ("content digest", True),
        ("samples", True),
        ("manifest", True),
    ]
    assert not marker.exists()


@pytest.mark.parametrize("form", ["torchscript", "pt2"])
def test_a_program_whose_digest_is_known_is_run(artifact: Export, form: str) -> None:
    path = artifact("linear-model", form)
    with pytest.raises(ArtifactError, match="not exported here"):
        load(path)
    known = frozenset({read_artifact(path).sha256})
    load(path, device="cpu", trust=known).close()
    assert all(check.passed for check in verify(path, device="cpu", trust=known))


@pytest.mark.parametrize("form", ["onnx", "checkpoint"])
def test_data_needs_no_trust(artifact: Export, form: str) -> None:
    load(artifact("linear-model", form), device="cpu").close()
