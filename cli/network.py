"""`my_package.my_module:build_net` or `hf:FOLDER`: a network that the user names on the command line.

`pkgutil.resolve_name` does not distinguish a missing module, a module that fails while it is imported,
and a missing attribute; the message must.
"""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module
from operator import attrgetter
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ptx.cli.terminal import quiet_exporters
from ptx.infer.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from ptx.infer.backends import Factory

_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_reference(argument: str) -> bool:
    """Whether it has the form `module:function`."""
    return _REFERENCE.fullmatch(argument) is not None


def find_factory(reference: str) -> Factory:
    """The function that makes the network; a class, a network or a library's name is accepted too.

    The module is also searched in the current folder. By naming it, the user decides to run it; such a
    name is never read from a file.

    Raises:
        UsageError: there is no such module or attribute, or importing it fails.
    """
    from ptx.export import is_library_model

    if is_library_model(reference):
        return lambda: _load_network(reference)
    if not is_reference(reference):
        raise UsageError(
            f"{reference!r} does not name a network; expected module:function, such as"
            " my_package.my_module:build_net, or hf:FOLDER"
        )
    module_name, _, attribute = reference.partition(":")
    if os.getcwd() not in sys.path:  # noqa: PTH109 - sys.path contains text
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    module = _import_module(reference, module_name)
    try:
        target = attrgetter(attribute)(module)
    except AttributeError as error:
        public = [name for name in vars(module) if not name.startswith("_")]
        raise UsageError(
            f"{reference}: {module_name} has no {attribute!r}; {did_you_mean(attribute, public)}"
        ) from error
    return lambda: _make_network(reference, target)


def _import_module(reference: str, name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if f"{name}.".startswith(f"{error.name}."):  # else a dependency of the module is missing
            raise UsageError(
                f"{reference}: there is no module {name!r}, neither in {os.getcwd()!r} nor installed"  # noqa: PTH109
            ) from error
        failure: BaseException = error
    except (Exception, SystemExit) as error:  # user code can raise anything
        failure = error
    raise UsageError(
        f"{reference}: cannot import {name}: {type(failure).__name__}: {failure}"
    ) from failure


def _load_network(reference: str) -> Any:
    from ptx.export import load_library_model

    with quiet_exporters():  # transformers draws progress bars
        return load_library_model(reference).network


def _make_network(reference: str, target: Any) -> Any:
    from torch import nn

    network = target
    if not isinstance(target, nn.Module) and callable(target):
        try:
            network = target()
        except Exception as error:  # user code can raise anything
            raise UsageError(
                f"{reference}() fails: {type(error).__name__}: {error}; expected a function without"
                " arguments that returns a network"
            ) from error
    if not isinstance(network, nn.Module):
        raise UsageError(
            f"{reference} is a {type(network).__name__}, or returns one; expected a torch.nn.Module or a"
            " function that returns one"
        )
    return network
