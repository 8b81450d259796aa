"""Every fault of the forms, met: it is refused, in the words that the page prints."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ptx.infer import PtxError

from .refusals import REFUSALS
from .refusing import Refusal, Shop

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters, about themselves


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_a_fault_is_refused_in_the_words_of_the_page(
    refusal: Refusal,
    checkpoint: Callable[[str], Path],
    artifact: Callable[[str, str], Path],
    ptx: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if refusal.form == "`--format html`":
        pytest.importorskip("py_mini_racer")
    shop = Shop(tmp_path, checkpoint, artifact, ptx, monkeypatch)
    with pytest.raises(PtxError) as caught:
        refusal.run(shop)
    assert caught.value.code == refusal.code, caught.value
    assert re.search(refusal.pattern, str(caught.value)), caught.value


def test_there_are_rows_for_each_form() -> None:
    count = Counter(refusal.form for refusal in REFUSALS)
    assert len({(refusal.form, refusal.name) for refusal in REFUSALS}) == len(REFUSALS) >= 25
    assert min(count.values()) >= 2
