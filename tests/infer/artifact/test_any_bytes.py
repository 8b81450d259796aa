"""Each reader of untrusted bytes returns a valid value or raises a one-line `PtxError`."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptx.infer.errors import PtxError

from .byte_readers import READERS, whole_files

WHOLE = whole_files()

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
