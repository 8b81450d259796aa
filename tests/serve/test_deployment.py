"""The files of docs/examples/serving, as far as they can be held without a cluster."""

from __future__ import annotations

import configparser
import json
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

SERVING = Path(__file__).parents[2] / "docs" / "examples" / "serving"
KINDS = {
    "Deployment": "V1Deployment",
    "Service": "V1Service",
    "PodDisruptionBudget": "V1PodDisruptionBudget",
}
PREDICTOR = {
    "minReplicas": "int",
    "maxReplicas": "int",
}  # beside a pod's fields, as KServe has them
MODEL = {
    "modelFormat": "Dict[str, str]",
    "runtime": "str",
    "protocolVersion": "str",
    "storageUri": "str",
}


def documents(name: str) -> list[Any]:
    yaml = pytest.importorskip("yaml")
    return list(yaml.safe_load_all((SERVING / name).read_text()))


def check(value: Any, kind: str, where: str) -> None:
    """That a value is of a type of Kubernetes' API: no unknown field, none of a wrong type."""
    models = pytest.importorskip("kubernetes.client", reason="kubernetes is not installed")
    if kind.startswith("List["):
        for index, item in enumerate(value):
            check(item, kind[5:-1], f"{where}[{index}]")
    elif kind.startswith("Dict["):
        inner = kind[5:-1].partition(",")[2].strip()
        for key, item in value.items():
            check(item, inner, f"{where}.{key}")
    elif kind in ("str", "int", "bool", "float"):
        assert type(value).__name__ == kind, f"{where} is {value!r}"
    elif kind != "object":
        model = getattr(models, kind)
        fields = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
        for key, item in value.items():
            assert key in fields, f"{where} has no {key}"
            check(item, fields[key], f"{where}.{key}")
        names = {key: name for name, key in model.attribute_map.items()}
        given = {names[key]: item for key, item in value.items()}
        model(**given)  # ValueError where a field is missing


def test_the_objects_are_those_of_kubernetes() -> None:
    found = documents("kubernetes.yaml")
    assert [one["kind"] for one in found] == list(KINDS)
    for one in found:
        check(one, KINDS[one["kind"]], one["kind"])


def test_the_pod_is_closed_and_waits_for_what_is_begun() -> None:
    deployment, service, _ = documents("kubernetes.yaml")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    grace = int(container["args"][container["args"].index("--grace") + 1])
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > grace + pause
    assert container["readinessProbe"]["httpGet"]["path"] == "/v2/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()


def test_the_services_of_kserve_have_known_fields() -> None:
    pytest.importorskip("kubernetes.client", reason="kubernetes is not installed")
    for one in documents("kserve.yaml"):
        assert (one["apiVersion"], one["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
        predictor = one["spec"]["predictor"]
        model = predictor.pop("model", None)
        pod = {key: item for key, item in predictor.items() if key not in PREDICTOR}
        for key in predictor.keys() - pod:
            check(predictor[key], PREDICTOR[key], key)
        check({"containers": [], **pod}, "V1PodSpec", "predictor")
        if model is not None:
            for key in MODEL.keys() & model:
                check(model[key], MODEL[key], key)
            rest = {key: item for key, item in model.items() if key not in MODEL}
            check({"name": "model", **rest}, "V1Container", "model")


def test_an_unknown_field_is_found() -> None:
    (one, *_) = documents("kubernetes.yaml")
    one["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(AssertionError, match="has no readinesProbe"):
        check(one, "V1Deployment", "Deployment")


def instructions(name: str) -> dict[str, str]:
    """The last of each instruction of a Containerfile."""
    text = (SERVING / name).read_text().replace("\\\n", " ")
    lines = [line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    return {word: rest for word, rest in lines}  # noqa: C416 - the last one counts


@pytest.mark.parametrize("name", ["Containerfile", "Containerfile.triton"])
def test_a_container_is_not_root_and_says_whether_it_is_ready(name: str) -> None:
    found = instructions(name)
    assert found["USER"].split(":")[0].isdigit()
    assert int(found["USER"].split(":")[0]) > 0
    assert "/v2/health/ready" in found["HEALTHCHECK"]


@pytest.fixture
def health() -> Iterator[tuple[int, list[int]]]:
    """A port, and the status that it answers with."""
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0] if self.path == "/v2/health/ready" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], status
        server.shutdown()


def test_the_health_check_of_the_container_tells_ready_from_not(
    health: tuple[int, list[int]],
) -> None:
    port, status = health
    command = instructions("Containerfile")["HEALTHCHECK"].partition("CMD ")[2]
    python, *rest = json.loads(command.replace("8000", str(port)))
    assert python == "python"
    for code, expected in ((200, 0), (503, 1)):
        status[0] = code
        done = subprocess.run([sys.executable, *rest], capture_output=True, timeout=20)
        assert done.returncode == expected


def test_the_unit_is_closed_and_waits_for_what_is_begun() -> None:
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((SERVING / "ptx-serve.service").read_text())
    service = unit["Service"]
    words = shlex.split(service["ExecStart"])
    assert int(service["TimeoutStopSec"]) > int(words[words.index("--grace") + 1])
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = (SERVING / "ptx-serve.service").read_text().replace("/opt/ptx/bin/ptx", sys.executable)
    (tmp_path / "ptx-serve.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "ptx-serve.service"],
        capture_output=True,
        text=True,
    )
    assert "ptx-serve.service:" not in done.stderr, done.stderr


def test_the_options_are_those_of_the_verb() -> None:
    verb = pytest.importorskip("ptx.cli.commands.serve", reason="there is no ptx serve yet").serve
    known = {option for parameter in verb.params for option in parameter.opts}
    kubernetes = documents("kubernetes.yaml")[0]["spec"]["template"]["spec"]["containers"][0]
    kserve = documents("kserve.yaml")[0]["spec"]["predictor"]["containers"][0]
    unit = (SERVING / "ptx-serve.service").read_text()
    (start,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    words = [*kubernetes["args"], *kserve["args"], *shlex.split(start)]
    words += json.loads(instructions("Containerfile")["ENTRYPOINT"])
    assert {word for word in words if word.startswith("--")} <= known
