"""ptx models"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ptx.cli import options

if TYPE_CHECKING:
    from ptx.cli.workspace import Workspace


@click.command(
    epilog="\b\nExamples:\n  ptx models\n  ptx models lstm",
    short_help="What can be trained, what is trained, what is exported.",
)
@click.argument("model", required=False, shell_complete=options.complete_name)
@options.workspace
@options.as_json
@options.common
def models(model: str | None, workspace: Path, as_json: bool) -> None:
    """What can be trained, what is trained, what is exported. With MODEL: all about one."""
    from ptx.cli.terminal import facts, note, table, verdict
    from ptx.cli.workspace import Workspace, require_model
    from ptx.models import broken_entries, known_models

    space = Workspace(workspace)
    if model is None:
        for name, reason in broken_entries().items():
            note(f"the model {name!r} of a package is left out: {reason}")
    names = list(known_models()) if model is None else [require_model(model)]
    records = [_record(name, list(space.files(name))) for name in names]
    if model is None:
        own = space.own_models()
        records += [{"model": name, "files": list(space.files(name))} for name in own]
    if as_json:
        for record in records:
            click.echo(json.dumps(record, ensure_ascii=False))
        return
    if model is not None:
        click.echo(facts(_pairs(model, list(space.files(model)))))
        verdict("", _following(space, names))
        return
    rows = [_row(name, space) for name in (*names, *own)]
    click.echo(table(("model", "task", "parameters", "trained", "exported"), rows))
    trained = [name for name in names if "checkpoint" in space.files(name)]
    verdict(f"{len(names)} models, {len(trained)} trained", _following(space, names))


def _following(space: Workspace, names: list[str]) -> str:
    """Train; then export what is trained alone; then look at what is exported."""
    names = sorted(names, key=lambda name: name != "convnet")  # the one that takes a picture
    files = {name: set(space.files(name)) for name in names}
    for name in names:
        if files[name] == {"checkpoint"}:
            return f"ptx export {name} --format onnx"
    for name in names:
        if files[name]:
            return f"ptx report {name}" if "checkpoint" in files[name] else f"ptx verify {name}"
    return f"ptx train {'convnet' if 'convnet' in names else names[0]}"


def _row(name: str, space: Workspace) -> tuple[str, ...]:
    from ptx.models import lookup

    files, entry = space.files(name), lookup(name)
    exported = ", ".join(kind for kind in files if kind != "checkpoint") or "-"
    if entry is None:
        return name, "of your own", "-", "-", exported
    trained = "yes" if "checkpoint" in files else "-"
    return name, entry.task, f"{entry.parameters:,}", trained, exported


def _pairs(name: str, files: list[str]) -> Iterator[tuple[str, str]]:
    """All about one model, as (title, text) for people."""
    from ptx.cli.verbs.inspect import listed, signature_pairs
    from ptx.infer.signature import Signature
    from ptx.models import known_models

    entry = known_models()[name]
    yield "model", name
    yield "summary", entry.summary
    yield "task", entry.task
    yield from signature_pairs(Signature.from_data(entry.signature))
    yield "parameters", f"{entry.parameters:,}"
    yield "data", entry.data
    default = "default" if "documented" in entry.recipes else "default, documented"
    for title, recipe in {default: entry.recipe, **entry.recipes}.items():
        yield "recipe", f"{title}: {listed(recipe)}"
    yield "reaches", entry.reaches
    yield "source", entry.source
    yield "files", ", ".join(files) or "none"
    if entry.notes:
        yield "notes", entry.notes


def _record(name: str, files: list[str]) -> dict[str, object]:
    from ptx.models import known_models

    entry = known_models()[name]
    record: dict[str, object] = {
        "model": name,
        "summary": entry.summary,
        "task": entry.task,
        "inputs": entry.signature["inputs"],
        "outputs": entry.signature["outputs"],
        "parameters": entry.parameters,
        "data": entry.data,
        "recipe": dict(entry.recipe),
        "recipes": {name: dict(recipe) for name, recipe in entry.recipes.items()},
        "reaches": entry.reaches,
        "source": entry.source,
        "files": files,
    }
    if entry.notes:
        record["notes"] = entry.notes
    return record
