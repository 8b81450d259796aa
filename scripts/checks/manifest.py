"""Manifests of Kubernetes held to the schema of their custom resource, as its operator publishes it.

    ./scripts/run checks/manifest docs/examples/rayjob.yaml ray.io_rayjobs.yaml
    ./scripts/run checks/manifest docs/examples/serving/kserve.yaml DEFINITION

KubeRay's definitions lie in its repository under `helm-chart/kuberay-operator/crds/`, KServe's under
`config/crd/full/`, as `serving.kserve.io_inferenceservices.yaml`. A field that the schema does not know
is refused too: the API server would drop it without a word. Exit code 1 where something does not hold.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("definition", type=Path, help="a CustomResourceDefinition")
    asked = parser.parse_args()
    definition = yaml.safe_load(asked.definition.read_text())
    found = [
        (one, problem)
        for one in yaml.safe_load_all(asked.manifest.read_text())
        for problem in problems(one, definition)
    ]
    for one, problem in found:
        print(f"{asked.manifest}, {one['metadata']['name']}: {problem}")
    print(f"{asked.manifest}: {len(found)} problems")
    return 1 if found else 0


def problems(document: Any, definition: Any) -> Iterator[str]:
    """What the API server would refuse or drop."""
    of = definition["spec"]
    group, _, version = document["apiVersion"].partition("/")
    versions = {one["name"]: one["schema"]["openAPIV3Schema"] for one in of["versions"]}
    if (group, document["kind"]) != (of["group"], of["names"]["kind"]) or version not in versions:
        yield f"{document['apiVersion']} {document['kind']} is not what the definition is of"
        return
    validator = jsonschema.Draft202012Validator(closed(versions[version]))
    for error in validator.iter_errors(document):
        yield f"{error.json_path}: {error.message[:200]}"


def closed(schema: Any) -> Any:
    """The schema, with unknown fields refused where Kubernetes drops them, and its int-or-string."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    open_to_all = (
        schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    )
    is_metadata = schema.get("type") == "object" and "properties" not in schema
    if isinstance(schema.get("properties"), dict) and not open_to_all and not is_metadata:
        made["additionalProperties"] = False
    return made


if __name__ == "__main__":
    raise SystemExit(main())
