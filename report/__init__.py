"""ptx.report: what is shown of a model: its report as a page, comparisons, benchmarks, previews."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.infer.lazy import lazy

if TYPE_CHECKING:
    from ptx.report.benchmarking import Benchmark, Settings, Target, benchmark
    from ptx.report.comparison import (
        ModelComparison,
        Rows,
        carried_rows,
        compare,
        split_rows,
        value_rows,
    )
    from ptx.report.comparison_file import check_target
    from ptx.report.confusion import confusion_text
    from ptx.report.fewer_bits import RoundingCost, make_trial, rounding_cost
    from ptx.report.inspection import card_facts, file_facts, join_settings, signature_facts
    from ptx.report.page import Report
    from ptx.report.preview import Preview
    from ptx.report.reporting import add_files, report
    from ptx.report.text import facts, file_size, percent, table
else:
    _HOMES = {
        "benchmarking": "Benchmark Settings Target benchmark",
        "comparison": "ModelComparison Rows carried_rows compare split_rows value_rows",
        "comparison_file": "check_target",
        "confusion": "confusion_text",
        "fewer_bits": "RoundingCost make_trial rounding_cost",
        "inspection": "card_facts file_facts join_settings signature_facts",
        "page": "Report",
        "preview": "Preview",
        "reporting": "add_files report",
        "text": "facts file_size percent table",
    }
    __getattr__, __dir__ = lazy(
        __name__, {name: home for home, names in _HOMES.items() for name in names.split()}
    )

__all__ = [
    "Benchmark",
    "ModelComparison",
    "Preview",
    "Report",
    "RoundingCost",
    "Rows",
    "Settings",
    "Target",
    "add_files",
    "benchmark",
    "card_facts",
    "carried_rows",
    "check_target",
    "compare",
    "confusion_text",
    "facts",
    "file_facts",
    "file_size",
    "join_settings",
    "make_trial",
    "percent",
    "report",
    "rounding_cost",
    "signature_facts",
    "split_rows",
    "table",
    "value_rows",
]
