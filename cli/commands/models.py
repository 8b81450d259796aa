"""ptx models"""

from __future__ import annotations

import json
from pathlib import Path

import click

import ptx.models as catalog
from ptx.cli import listing, options
from ptx.cli.streams import echo, writes_unicode
from ptx.cli.terminal import facts, print_note, table, verdict
from ptx.cli.workspace import Workspace, require_model
from ptx.infer.artifact.formats import CHECKPOINT, FORMATS


@click.command(
    epilog="\b\nExamples:\n  ptx models\n  ptx models lstm",
)
@click.argument("model", required=False, shell_complete=options.complete_name)
@options.workspace
@options.as_json
@options.common
def models(model: str | None, workspace: Path, as_json: bool) -> None:
    """What can be trained, what is trained, what is exported. With MODEL: all about one."""
    space, own = Workspace(workspace), list[str]()
    if model is None:
        own = space.own_models()
        for name, reason in catalog.broken_entries().items():
            print_note(f"the model {name!r} of a package is left out: {reason}")
    names = list(catalog.known_models()) if model is None else [require_model(model)]
    if as_json:
        records = [listing.record(name, list(space.files(name))) for name in names]
        records += [{"model": name, "files": list(space.files(name))} for name in own]
        for record in records:
            echo(json.dumps(record, ensure_ascii=not writes_unicode()))
    elif model is not None:
        echo(facts(listing.facts(model, list(space.files(model)))))
        verdict("", _suggest_next(space, names))
    else:
        rows = [listing.row(name, space) for name in (*names, *own)]
        echo(table(("model", "task", "parameters", "trained", "exported"), rows))
        trained = [name for name in names if CHECKPOINT in space.files(name)]
        verdict(f"{len(names)} models, {len(trained)} trained", _suggest_next(space, names))


def _suggest_next(space: Workspace, names: list[str]) -> str:
    """Train; then export what is trained alone; then look at what is exported."""
    names = sorted(names, key=lambda name: name != "convnet")  # the one that takes a picture
    files = {name: set(space.files(name)) for name in names}
    for name in names:
        if files[name] == {CHECKPOINT}:
            return f"ptx export {name} --format {next(iter(FORMATS))}"
    for name in names:
        if files[name]:
            return f"ptx report {name}" if CHECKPOINT in files[name] else f"ptx verify {name}"
    return f"ptx train {'convnet' if 'convnet' in names else names[0]}"
