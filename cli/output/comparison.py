"""What `ptx compare` shows of what it found."""

from __future__ import annotations

import json

import click

from ptx import report
from ptx.cli.output.terminal import colour_verdict, columns, note, verdict


def print_problems(model: str, problems: list[str], *, as_json: bool) -> int:
    """Say in what the files are not what was proved; their numbers would say nothing then."""
    if as_json:
        click.echo(json.dumps({"model": model, "holds": False, "problems": problems}))
    else:
        click.echo("\n".join(problems))
        following = f"ptx export {model} --format all"
        verdict(f"{model}: the files are not what was proved", following, holds=False)
    return 1


def print_comparison(
    model: str,
    compared: report.ModelComparison,
    reached: tuple[str, bool],
    *,
    own: bool,
    as_json: bool,
) -> int:
    """Table, differences and verdict, or JSON; the exit code."""
    found, holds = compared.found, compared.holds and reached[1]
    if not found.rows:
        note("no input could be compared")
        return 4
    if as_json:
        click.echo(json.dumps({**compared.data(), "reached": reached[0], "holds": holds}))
        return 0 if holds else 1
    click.echo(compared.table(colour_verdict, columns()))
    for line in compared.differences():
        click.echo(line)
    if reached[0]:
        click.echo(reached[0])
    agree = f"{sum(r.holds for r in found.results)} of {len(found.results)} backends agree"
    following = f"ptx report {model}" if holds else f"ptx export {model} --format all"
    if own:
        following = f"ptx predict photo.jpg --model {model}" if holds else "export it again"
    verdict(f"{model}: {agree}", following, holds=holds)
    return 0 if holds else 1
