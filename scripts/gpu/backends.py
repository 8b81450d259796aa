"""What `ptx doctor` says: which backends work, and with which CUDA libraries."""

from __future__ import annotations

import json

from gpu_setting import Setting, run_ptx
from page import Page

COLUMNS = ("built_for", "driver", "runtime", "cudnn", "cudnn_built_for")


def measure(page: Page, setting: Setting) -> None:
    done = run_ptx("doctor", "--json")
    if done.returncode:
        raise RuntimeError(done.stderr)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    page.section("`ptx doctor`", "backend", "works", "where, or why not", "CUDA built for",
                 "driver up to", "runtime", "cuDNN", "its CUDA")  # fmt: skip
    for line in lines:
        loaded = line["cuda"] or {}
        versions = [loaded.get(column) or "-" for column in COLUMNS]
        page.add(line["backend"], ("yes" if line["works"] else "no", line["detail"], *versions))
    for problem in lines[0]["problems"]:
        page.add("the CUDA libraries", ("no", problem))
