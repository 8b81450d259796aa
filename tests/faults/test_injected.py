"""Every fault of the table, injected: each verb says what the table says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.export import EXPORTERS
from ptx.infer import AgreementError, ArtifactError, PtxError, load

from .fault import VERBS, Fault, Good
from .page import PAGE, page
from .table import FAULTS

Ptx = Callable[..., Any]
Make = Callable[[str, str], Good]

pytestmark = pytest.mark.filterwarnings("ignore")  # of the exporters, about themselves


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_export(fault: Fault, good: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, path = good(fault.model, fault.format), tmp_path / "exported"
    if fault.export == "right":
        fault.injection.export(model, path, monkeypatch)
        assert path.exists()
        return
    with pytest.raises((AgreementError, ArtifactError)):
        fault.injection.export(model, path, monkeypatch)
    assert not path.exists()


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_the_verbs_on_a_file_with_the_fault(
    fault: Fault, good: Make, colours: Path, tmp_path: Path, ptx: Ptx
) -> None:
    model = good(fault.model, fault.format)
    given = fault.injection.workspace(model, tmp_path / fault.model)
    found = {verb: outcome(run(verb, model, tmp_path, given, colours, ptx)) for verb in VERBS[1:]}
    assert found == {verb: fault.cell(verb) for verb in VERBS[1:]}
    if "right" in found.values():
        no_wrong_answer(model, tmp_path / fault.model / model.path.name)


def run(verb: str, model: Good, root: Path, given: list[str], colours: Path, ptx: Ptx) -> Any:
    """A verb on the model of a workspace."""
    backend = EXPORTERS[model.format].backend
    options = [*(given if verb != "verify" else ()), "--workspace", root, "--trust"]
    options += ["--backends" if verb == "compare" else "--backend", backend]
    if backend != "ort-cpu":
        options += ["--device", "cpu"]
    if model.model == "ward" and verb == "compare":
        options += ["--network", "injected_ward:Ward"]
    if model.model == "ward" and verb == "evaluate" and not given:
        options += ["--data", colours]
    return ptx(verb, model.model, *options)


def outcome(told: Any) -> str:
    """Which word of the table it is."""
    if told.code == 0:
        return "right"
    return "refused" if "ptx: error" in told.err else "fails"


def no_wrong_answer(model: Good, path: Path) -> None:
    """What passes answers as the good file does, at any batch size, or not at all."""
    backend = EXPORTERS[model.format].backend
    values = [value for sample in model.manifest.end_to_end for value in sample.values]
    try:
        injected = load(path, backend=backend, device="cpu", trust=True)
    except PtxError:
        return
    with injected, load(model.path, backend=backend, device="cpu", trust=True) as right:
        for size in (1, 2, 3, len(values)):
            samples = [right.preprocessing.transform(value) for value in values[:size]]
            inputs = right.preprocessing.collate(samples)
            try:
                outputs = injected.run(inputs)
            except PtxError:
                continue
            for name, expected in right.run(inputs).items():
                np.testing.assert_allclose(outputs[name], expected, rtol=1e-4, atol=1e-5)
            got = injected.decode_outputs(outputs, [None] * size)
            assert [each.label for each in got] == [
                each.label for each in right.decode_outputs(right.run(inputs), [None] * size)
            ]


def test_there_are_rows_for_each_place() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 40
    assert {fault.injection.place for fault in FAULTS} >= {
        "network",
        "conversion",
        "manifest",
        "file",
        "data",
    }
    assert all(fault.why for fault in FAULTS if "right" in map(fault.cell, VERBS))


@pytest.mark.parametrize("model", sorted({(f.model, f.format) for f in FAULTS}), ids=str)
def test_without_a_fault_every_verb_passes(
    model: tuple[str, str], good: Make, colours: Path, tmp_path: Path, ptx: Ptx
) -> None:
    from .injections import lay_out

    one = good(*model)
    lay_out(one, tmp_path / one.model, one.path.read_bytes())
    for verb in VERBS[1:]:
        told = run(verb, one, tmp_path, [], colours, ptx)
        assert told.code == 0, told.out + told.err


def test_the_page_is_written_from_the_table() -> None:
    assert PAGE.read_text() == page(), "write it anew: cd tests && python -m faults.page"
