"""Whatever the bytes are, each reader gives what it promises, or an error of ptx in one line."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptx.infer.errors import PtxError


def _readers() -> ModuleType:
    """The table that `scripts/fuzz` feeds too."""
    path = Path(__file__).parents[3] / "scripts" / "fuzzing" / "byte_readers.py"
    spec = spec_from_file_location("byte_readers", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_MODULE = _readers()
READERS, WHOLE = _MODULE.READERS, _MODULE.whole_files()

# Where to change a file, as a share of its length; how much to take away; what to put there.
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=12)), max_size=4)


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=120)
@given(st.data())
def test_a_changed_file_is_read_or_refused(reader: str, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([*WHOLE[reader], b""])))
    for share, taken, put in data.draw(EDITS):
        position = int(share * len(content))
        content[position : position + taken] = put
    try:
        READERS[reader](bytes(content))
    except PtxError as error:
        assert str(error).isprintable()  # noqa: PT017 - it need not be raised


@pytest.mark.parametrize("reader", READERS)
def test_the_whole_files_are_read(reader: str) -> None:
    assert WHOLE[reader]
    for content in WHOLE[reader]:
        READERS[reader](content)
