"""ptx.report: what is shown of a model: its report as a page, comparisons, benchmarks, previews."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.infer.lazy import lazy

if TYPE_CHECKING:
    from ptx.report.agreement.comparison import (
        ModelComparison,
        Rows,
        carried_rows,
        compare,
        split_rows,
        value_rows,
    )
    from ptx.report.agreement.comparison_file import check_target
    from ptx.report.inspection import card_facts, file_facts, join_settings, signature_facts
    from ptx.report.page.confusion import confusion_text
    from ptx.report.page.page import Report
    from ptx.report.page.reporting import find_speeds, read_history, report
    from ptx.report.preview import Preview
    from ptx.report.speed.benchmarking import Benchmark, Settings, Target, benchmark
    from ptx.report.text import facts, file_size, percent, table
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "ModelComparison": "agreement.comparison",
            "Benchmark": "speed.benchmarking",
            "Preview": "preview",
            "Report": "page.page",
            "Rows": "agreement.comparison",
            "Settings": "speed.benchmarking",
            "Target": "speed.benchmarking",
            "benchmark": "speed.benchmarking",
            "card_facts": "inspection",
            "facts": "text",
            "file_facts": "inspection",
            "carried_rows": "agreement.comparison",
            "check_target": "agreement.comparison_file",
            "compare": "agreement.comparison",
            "confusion_text": "page.confusion",
            "file_size": "text",
            "find_speeds": "page.reporting",
            "join_settings": "inspection",
            "percent": "text",
            "report": "page.reporting",
            "read_history": "page.reporting",
            "signature_facts": "inspection",
            "split_rows": "agreement.comparison",
            "table": "text",
            "value_rows": "agreement.comparison",
        },
    )

__all__ = [
    "Benchmark",
    "ModelComparison",
    "Preview",
    "Report",
    "Rows",
    "Settings",
    "Target",
    "benchmark",
    "card_facts",
    "carried_rows",
    "check_target",
    "compare",
    "confusion_text",
    "facts",
    "file_facts",
    "file_size",
    "find_speeds",
    "join_settings",
    "percent",
    "read_history",
    "report",
    "signature_facts",
    "split_rows",
    "table",
    "value_rows",
]
