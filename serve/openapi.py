"""The OpenAPI 3.1 document of the server, and an HTML page of it that needs no other files."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Any

from ptx.serve.form import FIELD
from ptx.serve.metadata import model_metadata
from ptx.serve.model import TOP, Model

_BYTES = {"type": "string", "contentMediaType": "application/octet-stream"}
_ERROR = {
    "description": "why the request was refused",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
_SCHEMAS = {
    "Error": {
        "type": "object",
        "properties": {"error": {"type": "string"}},
        "required": ["error"],
    },
    "Prediction": {
        "type": "object",
        "properties": {
            "label": {"type": "string"},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "top": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"label": {"type": "string"}, "score": {"type": "number"}},
                },
            },
            "low_confidence": {
                "type": "boolean",
                "description": "whether the label is more probably wrong than right",
            },
            "value": {"type": ["number", "null"], "description": "result of a regression"},
            "vector": {
                "type": "array",
                "items": {"type": "number"},
                "description": "result of an embedding",
            },
            "classes": {
                "type": "array",
                "description": "result of a segmentation: the share of each class",
                "items": {
                    "type": "object",
                    "properties": {"label": {"type": "string"}, "share": {"type": "number"}},
                },
            },
            "size": {
                "type": "array",
                "items": {"type": "integer"},
                "description": "height and width of the class map",
            },
            "boxes": {
                "type": "array",
                "description": "of the task boxes, best first",
                "items": {
                    "type": "object",
                    "properties": {
                        "label": {"type": "string"},
                        "score": {"type": "number"},
                        "box": {
                            "type": "array",
                            "items": {"type": "number"},
                            "description": "left, top, right and bottom in pixels of the picture",
                        },
                    },
                },
            },
            "model": {"type": "string"},
            "backend": {"type": "string"},
        },
        "required": ["model", "backend"],
    },
    "Tensor": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "datatype": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "data": {"type": "array"},
            "parameters": {"type": "object"},
        },
        "required": ["name", "datatype", "shape"],
    },
    "InferRequest": {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
            "outputs": {"type": "array", "items": {"type": "object"}},
            "parameters": {"type": "object"},
        },
        "required": ["inputs"],
    },
    "InferResponse": {
        "type": "object",
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": {
                "type": "object",
                "properties": {
                    "low_confidence": {
                        "type": "boolean",
                        "description": "whether the label of a row is more probably wrong than right",
                    },
                    "low_confidence_rows": {
                        "type": "string",
                        "description": "the indices of these rows, separated by commas",
                    },
                },
            },
            "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
        },
        "required": ["model_name", "outputs"],
    },
}
_GETS = {
    "/v2": "Metadata of the server",
    "/v2/health/live": "Liveness of the server",
    "/v2/health/ready": "Readiness of the server",
    "/v2/models": "Names of the models",
    "/v2/models/stats": "Statistics of all models",
    "/metrics": "Metrics for Prometheus",
}


def describe(models: Iterable[Model], *, root: str, needs_token: bool) -> dict[str, Any]:
    """The OpenAPI document for these models.

    Args:
        root: The path under which the application is mounted.
    """
    paths: dict[str, Any] = {}
    for model in models:
        paths |= dict(_model_paths(model))
    paths |= {path: {"get": _operation(text)} for path, text in _GETS.items()}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "ptx", "version": version("ptx-toolkit")},
        "servers": [{"url": root}],
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }
    if needs_token:
        scheme = {"type": "http", "scheme": "bearer"}
        document["components"] = {"schemas": _SCHEMAS, "securitySchemes": {"token": scheme}}
        document["security"] = [{"token": []}]
    return document


def _model_paths(model: Model) -> Iterator[tuple[str, Any]]:
    name = model.name
    if model.raw_input is not None:
        top = {
            "name": "top",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "default": TOP},
            "description": "labels to rank",
        }
        form = {"type": "object", "properties": {FIELD: _BYTES}, "required": [FIELD]}
        body = {
            "application/octet-stream": {"schema": _BYTES},
            "multipart/form-data": {"schema": form},
        }
        if model.takes_json:
            text_in_json = {
                "type": "object",
                "properties": {model.raw_input: {"type": "string"}},
                "required": [model.raw_input],
            }
            body["application/json"] = {"schema": text_in_json}
        text = f"Predict one input of {name}, a {model.raw_input}"
        yield f"/predict/{name}", {"post": _operation(text, body, "Prediction", [top])}
        text = f"The {model.raw_input} as {name} receives it"
        yield f"/v2/models/{name}/preview", {"post": _operation(text, body)}
    metadata = model_metadata(model)
    tensors = "; ".join(
        f"{tensor['name']}: {tensor['datatype']} {tensor['shape']}" for tensor in metadata["inputs"]
    )
    body = {"application/json": {"schema": {"$ref": "#/components/schemas/InferRequest"}}}
    text = f"Run {name} on tensors ({tensors})"
    yield f"/v2/models/{name}/infer", {"post": _operation(text, body, "InferResponse")}
    for suffix, what in (("", "Inputs and outputs"), ("/ready", "Readiness")):
        yield f"/v2/models/{name}{suffix}", {"get": _operation(f"{what}: {name}")}
    yield f"/v2/models/{name}/stats", {"get": _operation(f"Statistics: {name}")}


def _operation(
    summary: str,
    body: dict[str, Any] | None = None,
    schema: str = "",
    parameters: Iterable[dict[str, Any]] = (),
) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "the response"}
    if schema:
        reference = {"$ref": f"#/components/schemas/{schema}"}
        success["content"] = {"application/json": {"schema": reference}}
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": success, "default": _ERROR},
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": body}
    if listed := list(parameters):
        operation["parameters"] = listed
    return operation


def page(document: dict[str, Any]) -> bytes:
    """The document as an HTML page, with a curl command for each path."""
    rows = []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            option = ""
            required = content.get("application/json", {}).get("schema", {}).get("required")
            if required:
                option = f" --json '{json.dumps(dict.fromkeys(required, 'TEXT'))}'"
            elif "multipart/form-data" in content:
                option = f" -F {FIELD}=@FILE"
            elif content:
                option = " --json @request.json"
            command = html.escape(f"curl{option} $SERVER{path}")
            summary = html.escape(operation["summary"])
            rows.append(
                f"<tr><td>{method.upper()}</td><td><code>{html.escape(path)}</code><br>{summary}"
                f"<br><code>{command}</code></td></tr>"
            )
    return _PAGE.replace("{{rows}}", "\n".join(rows)).encode()


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>ptx: API</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; }
td { padding: .5rem .8rem .5rem 0; vertical-align: top; border-top: 1px solid #8886; }
code { font-size: .9em; overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>API</h1>
<p>Also available as <a href="openapi.json">OpenAPI 3.1</a>, from which clients can be generated.</p>
<table>
{{rows}}
</table>
</body>
</html>
"""
