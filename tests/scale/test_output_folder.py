"""The folder that predictions on Ray go into, and what it records of its job."""

from __future__ import annotations

from pathlib import Path

import pytest

from ptx.infer.errors import ArtifactError, OutputError
from ptx.scale.ray_files import JOB, OutputFolder

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own

FACTS = {"model": "0123", "top": 3}


def test_a_folder_is_continued_for_the_same_job_only(tmp_path: Path) -> None:
    folder = str(tmp_path / "out")
    OutputFolder.open(folder, FACTS, resume=False)
    OutputFolder.open(folder, FACTS, resume=True)
    for facts, resume in ((FACTS, False), ({**FACTS, "top": 5}, True)):
        with pytest.raises(ArtifactError) as caught:
            OutputFolder.open(folder, facts, resume=resume)
        assert caught.value.code == "E-RESUME"


@pytest.mark.parametrize("content", [b"", b'{"model": "01', b"[]", b"\xff"])
def test_a_damaged_record_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / JOB).write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        OutputFolder.open(str(tmp_path), FACTS, resume=True)
    assert caught.value.code == "E-RESUME"


def test_a_file_in_its_place_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError):
        OutputFolder.open(str(tmp_path / "out"), FACTS, resume=False)
