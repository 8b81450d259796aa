"""What the libraries that decode pictures say on their own does not reach stderr."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ..malformed_inputs.case import Kit
from ..malformed_inputs.pictures import no_frames, tiff


def test_each_file_has_one_line_although_decoders_print_warnings(
    workspace: Path, tmp_path: Path
) -> None:
    kit = Kit(tmp_path, workspace, lambda model, suffix: tmp_path)
    files = {
        "warning.png": no_frames(kit),
        "log.tif": tiff(28, 28, samples=65535),
        "libtiff.tif": tiff(28, 28, packing=50001),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from ptx.cli import main; main()",
            "predict",
            *files,
            "--backend",
            "ort-cpu",
            "--workspace",
            workspace,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == ["warning.png"]
    assert [line[:27] for line in done.stderr.splitlines()] == ["ptx: error [E-IMG-DAMAGED] "] * 2
