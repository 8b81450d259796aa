"""ptx.report: presents a model to people: HTML report, comparison, benchmark, preview."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ptx.infer.lazy import lazy_exports

if TYPE_CHECKING:
    from ptx.report.backends import find_targets as find_targets
    from ptx.report.backends import open_backends as open_backends
    from ptx.report.benchmarking import Benchmark as Benchmark
    from ptx.report.benchmarking import BenchmarkSettings as BenchmarkSettings
    from ptx.report.benchmarking import Target as Target
    from ptx.report.benchmarking import benchmark as benchmark
    from ptx.report.comparison import ComparisonInputs as ComparisonInputs
    from ptx.report.comparison import ModelComparison as ModelComparison
    from ptx.report.comparison import checkpoint_samples as checkpoint_samples
    from ptx.report.comparison import compare as compare
    from ptx.report.comparison import split_inputs as split_inputs
    from ptx.report.comparison import value_inputs as value_inputs
    from ptx.report.comparison_file import check_target as check_target
    from ptx.report.confusion import confusion_text as confusion_text
    from ptx.report.error_chart import check_chart_path as check_chart_path
    from ptx.report.error_chart import draw_error_chart as draw_error_chart
    from ptx.report.error_chart import save_error_chart as save_error_chart
    from ptx.report.evaluation_data import EvaluationData as EvaluationData
    from ptx.report.evaluation_data import find_evaluation_data as find_evaluation_data
    from ptx.report.evaluation_data import open_training_data as open_training_data
    from ptx.report.inspection import file_facts as file_facts
    from ptx.report.inspection import join_settings as join_settings
    from ptx.report.inspection import manifest_facts as manifest_facts
    from ptx.report.inspection import signature_facts as signature_facts
    from ptx.report.node_profile import node_table as node_table
    from ptx.report.node_profile import profile_targets as profile_targets
    from ptx.report.page import Report as Report
    from ptx.report.preview import Preview as Preview
    from ptx.report.probe import BackendStatus as BackendStatus
    from ptx.report.probe import probe_backend as probe_backend
    from ptx.report.quantization_eval import quantization_config as quantization_config
    from ptx.report.quantization_eval import weight_quantization_cost as weight_quantization_cost
    from ptx.report.reporting import add_files as add_files
    from ptx.report.reporting import report as report
    from ptx.report.text import facts as facts
    from ptx.report.text import file_size as file_size
    from ptx.report.text import percent as percent
    from ptx.report.text import table as table

    __all__: list[str]
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            "backends": "find_targets open_backends",
            "benchmarking": "Benchmark BenchmarkSettings Target benchmark",
            "comparison": "ComparisonInputs ModelComparison checkpoint_samples compare split_inputs"
            " value_inputs",
            "comparison_file": "check_target",
            "confusion": "confusion_text",
            "error_chart": "check_chart_path draw_error_chart save_error_chart",
            "node_profile": "node_table profile_targets",
            "evaluation_data": "EvaluationData find_evaluation_data open_training_data",
            "quantization_eval": "weight_quantization_cost quantization_config",
            "inspection": "manifest_facts file_facts join_settings signature_facts",
            "page": "Report",
            "preview": "Preview",
            "probe": "BackendStatus probe_backend",
            "reporting": "add_files report",
            "text": "facts file_size percent table",
        },
    )
