"""Import public names on first access (PEP 562)."""

from __future__ import annotations

import ast
import pkgutil
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy_exports(
    package: str,
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """The `__getattr__`, `__dir__` and `__all__` of a package.

    Its stub `__init__.pyi`, which type checkers read, has an import of each public name.
    """
    stub = pkgutil.get_data(package, "__init__.pyi")
    assert stub is not None
    modules = {
        name.name: statement.module
        for statement in ast.parse(stub).body
        if isinstance(statement, ast.ImportFrom) and statement.module
        for name in statement.names
    }

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)  # cached: later accesses do not come here
        return value

    return get, lambda: sorted({*vars(sys.modules[package]), *modules}), sorted(modules)
