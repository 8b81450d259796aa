"""Run a notebook and keep what its cells give: python scripts/pages/run_notebook.py NOTEBOOK"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def main() -> None:
    path = Path(sys.argv[1])
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, kernel_name="python3").execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran
    notebook.metadata.language_info = {"name": "python"}  # not which Python
    nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
