"""Imports go one way: the table of CONTRIBUTING.md, read off the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "infer": set(),
    "models": set(),
    "trainers": {"models", "infer"},
    "export": {"models", "infer"},
    "report": {"models", "infer", "trainers", "export"},
    "scale": {"infer", "serve"},
    "serve": {"infer"},
    "cli": {"models", "infer", "trainers", "export", "report", "scale", "serve"},
}
EAGER = Path("infer/backends/pytorch/eager.py")  # builds the catalog's network, inside one function
# What the command line may name beside `__all__` of the packages: the modules whose names without an
# underscore are public too.
ROOMS = {
    "ptx.export.check.manifest_comparison",
    "ptx.export.formats",
    "ptx.export.quantize.int8",
    "ptx.export.source",
    "ptx.export.triton",
    "ptx.export.variant",
    "ptx.infer.artifact.accuracy",
    "ptx.infer.artifact.artifact",
    "ptx.infer.artifact.files",
    "ptx.infer.artifact.formats",
    "ptx.infer.backends",
    "ptx.infer.backends.cuda_versions",
    "ptx.infer.errors",
    "ptx.infer.external.adapter",
    "ptx.infer.external.spec",
    "ptx.infer.loading",
    "ptx.infer.prediction",
    "ptx.infer.prefetch",
    "ptx.infer.preprocessing",
    "ptx.infer.ranges",
    "ptx.infer.tables.npy",
    "ptx.infer.tables.npz",
    "ptx.infer.tables.numbers",
    "ptx.infer.tables.predictions",
    "ptx.infer.verification",
    "ptx.scale.ray",
    "ptx.scale.ray_files",
    "ptx.trainers.loop",
    "ptx.trainers.recorded_metrics",
}
HEAVY = {"torch", "torchvision", "onnx", "onnxruntime", "onnxscript", "matplotlib", "tqdm"}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "ptx":
            yield from (f"ptx.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value.startswith("ptx.")
            and ":" in node.value
        ):
            yield node.value.partition(":")[0]


def outermost(tree: ast.Module) -> Iterator[str]:
    """What is imported when the module is: no functions, no TYPE_CHECKING blocks."""
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(node)


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_the_table_allows(package: str) -> None:
    for path in sources(package):
        for name in imported(ast.parse(path.read_text())):
            parts = name.split(".")
            if parts[0] != "ptx" or len(parts) < 2 or parts[1] == package:
                continue
            if path.relative_to(ROOT) == EAGER and parts[1] == "models":
                continue
            assert parts[1] in MAY_IMPORT[package], f"{path.relative_to(ROOT)} imports {name}"


def used_names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(module, name) of everything that is taken from ptx, by import or as an attribute."""
    packages: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "ptx":
            packages |= {alias.asname or alias.name: f"ptx.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ptx."):
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            packages |= {a.asname: a.name for a in node.names if a.asname and "ptx" in a.name}
    for node in ast.walk(tree):
        owner = node.value if isinstance(node, ast.Attribute) else None
        if isinstance(node, ast.Attribute) and isinstance(owner, ast.Name) and owner.id in packages:
            yield packages[owner.id], node.attr


def test_the_command_line_uses_public_names_alone() -> None:
    used = {
        (path, *pair) for path in sources("cli") for pair in used_names(ast.parse(path.read_text()))
    }
    for path, module, name in used:
        if module.startswith("ptx.cli"):
            continue
        if module.count(".") == 1:
            assert name in import_module(module).__all__, f"{path}: {module}.{name}"
        else:
            assert module in ROOMS, f"{path} takes {name} from {module}"
            assert not name.startswith("_"), f"{path}: {module}.{name}"
    assert {module for _, module, _ in used} >= ROOMS, "a room that nobody enters"


def test_the_eager_backend_imports_the_models_inside_a_function() -> None:
    tree = ast.parse((ROOT / EAGER).read_text())
    assert any(name.startswith("ptx.models") for name in imported(tree))
    assert not any(name.startswith("ptx.models") for name in outermost(tree))


@pytest.mark.parametrize("package", ["infer", "cli"])
def test_heavy_libraries_are_imported_where_they_are_used(package: str) -> None:
    for path in sources(package):
        for name in outermost(ast.parse(path.read_text())):
            assert name.partition(".")[0] not in HEAVY | {"pyarrow", "ray"}, (
                f"{path.relative_to(ROOT)} imports {name}"
            )


def test_no_module_is_named_like_a_library_that_is_imported() -> None:
    libraries = HEAVY | {"numpy", "click", "PIL", "json", "typing", "signal"}
    for package in MAY_IMPORT:
        assert not [path for path in sources(package) if path.stem in libraries]


def test_torchvision_never_decodes_a_picture() -> None:
    for package in MAY_IMPORT:
        for path in sources(package):
            for name in imported(ast.parse(path.read_text())):
                assert not name.startswith("torchvision.io"), path


def test_no_checkpoint_is_read_with_the_pickle_that_runs_code() -> None:
    for package in MAY_IMPORT:
        for path in sources(package):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                    given = {word.arg: word.value for word in node.keywords}
                    value = given.get("weights_only")
                    assert isinstance(value, ast.Constant), path
                    assert value.value is True, path


def test_a_class_name_means_one_thing_in_the_product() -> None:
    places: dict[str, list[str]] = {}
    for package in MAY_IMPORT:
        for path in sources(package):
            if path.stem.endswith("_pb2"):
                continue  # generated from a published specification
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(f"{path.relative_to(ROOT)}")
    repeated = {name: paths for name, paths in places.items() if len(paths) > 1}
    assert not repeated
    assert "Manifest" in places
