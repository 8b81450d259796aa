"""A folder of links in which Python finds ptx under its import names, without an installation.

`PYTHONPATH=$(python scripts/setup/source_tree.py .cache/source)` is enough to train, export and predict.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def make_tree(folder: Path) -> Path:
    """Links to the packages, and the version that `importlib.metadata` finds; made once, kept."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["package-dir"]
    links = {
        folder.joinpath(*name.split(".")): ROOT / place
        for name, place in packages.items()
        if "." in name and "/" not in place
    }
    links |= {folder / "ptx" / path.name: path for path in (ROOT / packages["ptx"]).glob("*.py*")}
    for link, target in links.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink() and link.readlink() != target:
            link.unlink()  # of another checkout, which would be measured in place of this one
        if not link.is_symlink():
            link.symlink_to(target, target_is_directory=target.is_dir())
    about = {"Metadata-Version": "2.1"} | {
        key.title(): project["project"][key] for key in ("name", "version")
    }
    name = about["Name"].replace("-", "_")
    information = folder / f"{name}-{about['Version']}.dist-info"
    information.mkdir(exist_ok=True)
    lines = [f"{key}: {value}\n" for key, value in about.items()]
    (information / "METADATA").write_text("".join(lines))
    return folder.resolve()


if __name__ == "__main__":
    print(make_tree(Path(sys.argv[1])))
