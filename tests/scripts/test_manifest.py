"""scripts/checks/manifest.py: what it finds in a manifest, by a definition of one field of each kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

SCRIPT = Path(__file__).parents[2] / "scripts" / "checks" / "manifest.py"

FIELDS = {
    "size": {"type": "integer"},
    "port": {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": True,
    },
    "words": {"type": "object", "additionalProperties": {"type": "string"}},
    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {}},
}
SCHEMA = {
    "type": "object",
    "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
        "spec": {"type": "object", "properties": FIELDS, "required": ["size"]},
    },
}  # fmt: skip
DEFINITION = {"spec": {"group": "a.b", "names": {"kind": "Toy"},
                       "versions": [{"name": "v1", "schema": {"openAPIV3Schema": SCHEMA}}]}}  # fmt: skip


def check(folder: Path, spec: dict[str, Any], **other: Any) -> subprocess.CompletedProcess[str]:
    document = {"apiVersion": "a.b/v1", "kind": "Toy", "metadata": {"name": "it"}, "spec": spec}
    (folder / "toy.yaml").write_text(yaml.safe_dump(document | other))
    (folder / "definition.yaml").write_text(yaml.safe_dump(DEFINITION))
    command = [
        sys.executable,
        str(SCRIPT),
        str(folder / "toy.yaml"),
        str(folder / "definition.yaml"),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("port", ["http", 80])
def test_what_the_schema_knows_has_no_problem(tmp_path: Path, port: object) -> None:
    done = check(tmp_path, {"size": 1, "port": port, "words": {"a": "b"}, "free": {"any": 1}})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("spec", "where"),
    [({"size": "one"}, "$.spec.size"), ({}, "$.spec"), ({"size": 1, "sise": 1}, "$.spec"),
     ({"size": 1, "words": {"a": 1}}, "$.spec.words.a"), ({"size": 1, "port": 0.5}, "$.spec.port")],
)  # fmt: skip
def test_a_wrong_a_missing_and_an_unknown_field(
    tmp_path: Path, spec: dict[str, Any], where: str
) -> None:
    done = check(tmp_path, spec)
    assert f"toy.yaml, it: {where}: " in done.stdout
    assert done.returncode == 1


@pytest.mark.parametrize("other", [{"apiVersion": "a.b/v2"}, {"kind": "Other"}])
def test_a_definition_of_another_kind(tmp_path: Path, other: dict[str, str]) -> None:
    assert check(tmp_path, {"size": 1}, **other).returncode == 1
