"""PyTorch's threads are settled before it is imported, by whichever package imports it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

Child = Callable[..., Any]

SPY = """
import os, sys
class Spy:
    def find_spec(self, name, *given):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"), os.environ.get("GOMP_SPINCOUNT"))
sys.meta_path.insert(0, Spy())
"""
IMPORTS = (
    "from ptx.trainers import train",
    "from ptx.export import export",
    "from ptx.infer.backends.pytorch.device import import_torch; import_torch()",
)


def settings(child: Child, imports: str, **given: str) -> str:
    left = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = child(SPY + imports, env={**left, **given}, timeout=60)
    return str(done.stdout.strip())


@pytest.mark.parametrize("imports", IMPORTS)
def test_they_spin_briefly_and_then_sleep(child: Child, imports: str) -> None:
    assert settings(child, imports) == "PASSIVE 10000"


def test_the_user_s_word_stands(child: Child) -> None:
    assert settings(child, IMPORTS[2], OMP_WAIT_POLICY="ACTIVE") == "ACTIVE None"
    assert settings(child, IMPORTS[2], GOMP_SPINCOUNT="7") == "PASSIVE 7"
