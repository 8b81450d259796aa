"""ptx is found through links, without an installation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "setup" / "source_tree.py"


def test_packages_and_version_are_found_through_the_links(tmp_path: Path) -> None:
    made = [sys.executable, str(SCRIPT), str(tmp_path / "source")]
    for _ in range(2):  # the second time it is there already
        tree = subprocess.run(made, check=True, capture_output=True, text=True).stdout.strip()
    code = (
        "import ptx.infer.signature, importlib.metadata as m; print(ptx.infer.__file__);"
        "print(m.distribution('ptx-toolkit').locate_file(''), ptx.__version__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": tree},
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    place, found = done.stdout.splitlines()
    assert Path(place) == Path(tree, "ptx", "infer", "__init__.py")
    assert found.split() == [tree, "0.2.0"]


def test_links_to_another_checkout_are_made_anew(tmp_path: Path) -> None:
    link = tmp_path / "source" / "ptx" / "infer"
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "another" / "infer")
    subprocess.run([sys.executable, str(SCRIPT), str(tmp_path / "source")], check=True)
    assert link.resolve() == SCRIPT.parents[2] / "infer"
