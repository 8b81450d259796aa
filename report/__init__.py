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
    from ptx.report.inspection import card_facts, file_facts, join_settings, signature_facts
    from ptx.report.page import Report
    from ptx.report.preview import Preview
    from ptx.report.reporting import add_files, report
    from ptx.report.text import facts, file_size, percent, table
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "ModelComparison": "comparison",
            "Benchmark": "benchmarking",
            "Preview": "preview",
            "Report": "page",
            "Rows": "comparison",
            "Settings": "benchmarking",
            "Target": "benchmarking",
            "add_files": "reporting",
            "benchmark": "benchmarking",
            "card_facts": "inspection",
            "facts": "text",
            "file_facts": "inspection",
            "carried_rows": "comparison",
            "check_target": "comparison_file",
            "compare": "comparison",
            "confusion_text": "confusion",
            "file_size": "text",
            "join_settings": "inspection",
            "percent": "text",
            "report": "reporting",
            "signature_facts": "inspection",
            "split_rows": "comparison",
            "table": "text",
            "value_rows": "comparison",
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
    "percent",
    "report",
    "signature_facts",
    "split_rows",
    "table",
    "value_rows",
]
