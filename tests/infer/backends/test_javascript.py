"""The engine of a page in V8: how a process that holds one ends."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

Child = Callable[..., subprocess.CompletedProcess[str]]
pytest.importorskip("py_mini_racer", reason="mini-racer is not installed")

# What is registered first is called last: when the engines have been closed.
HOLD = """
import atexit, os, threading
atexit.register(lambda: print(threading.active_count()))
from ptx.infer.backends.javascript.hosts import open_host
host = open_host()
host.run("const same = (text) => text")
assert host.call("same", "a") == "a"
assert threading.active_count() == 2
"""


def test_an_engine_that_nobody_closed_is_closed_before_python_ends(child: Child) -> None:
    assert child(HOLD).stdout == "1\n"


def test_an_engine_that_was_closed_is_not_closed_again(child: Child) -> None:
    assert child(f"{HOLD}\nhost.close()").stdout == "1\n"


def test_a_forked_child_closes_no_engine_of_its_parent(child: Child) -> None:
    code = f"""{HOLD}
import warnings
warnings.simplefilter("ignore")  # of threads beside a fork, which is what is tested
forked = os.fork()
if forked:
    print("ended with", os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]), flush=True)
    assert host.call("same", "b") == "b"
"""
    assert child(code).stdout == "1\nended with 0\n1\n"
