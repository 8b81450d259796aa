"""Every model of the catalog as one page: its size, its proof, and when it is ready in both browsers.

    ./scripts/run browsers/catalog

Weights are untrained, from a fixed seed; the table is that of docs/how-to/export-variants.md.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from opened import NAMES, Browser, opened

from ptx.export import export, read_model
from ptx.infer import read_artifact
from ptx.infer.artifact import zip_archive
from ptx.models import CATALOG, build
from ptx.models.checkpoint import Checkpoint, dumps, weights_digest
from ptx.trainers import default_recipe, open_dataset, sample_inputs
from ptx.trainers.card import make_card
from ptx.trainers.samples import raw_examples

READY = """
while (true) {
  const proof = document.querySelector("#proof")?.textContent ?? "";
  const changed = document.querySelector("#changed");
  if (proof.startsWith("✓")) return performance.now();
  if (!changed?.hidden && changed?.textContent.startsWith("✗")) throw new Error(changed.textContent);
  await new Promise((done) => setTimeout(done, 2));
}
"""
TIMES = 3


def worst(path: Path) -> str:
    """The error of its proof that is nearest to what is allowed, by the page's card."""
    found = [
        (one["error"], one["tolerance"])
        for outputs in read_artifact(path).require_card().agreement["backends"].values()
        for one in outputs.values()
    ]
    error, allowed = max(found, key=lambda pair: pair[0] / (pair[1] or 1))
    return f"{error:.1e} of {allowed:.1e}"


def ready(browser: Browser, path: Path) -> float:
    """Milliseconds from the navigation until the golden samples are computed; the median of three."""
    found = []
    for _ in range(TIMES):
        browser.show(path)
        found.append(float(browser.run(READY)))
    return statistics.median(found)


def make(model: str, path: Path) -> None:
    """The page of an untrained model with the labels and examples of its bundled data."""
    data = open_dataset("bundled", default=CATALOG[model].data, cache=path.parent)
    card = make_card(model, data, default_recipe(model), seed=0)
    torch.manual_seed(0)
    weights = dict(build(model, card.config).state_dict())
    card = replace(card, weights_sha256=weights_digest(weights))
    checkpoint = Checkpoint(
        weights=weights,
        samples=sample_inputs(card, data),
        examples=raw_examples(card, data),
    )
    source = path.with_suffix(".pt")
    source.write_bytes(zip_archive.attach(dumps(checkpoint), card.to_json()))
    export(read_model(source), "html", path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--pages", type=Path, help="a folder; what is there is not made anew")
    parser.add_argument("--browser", action="append", choices=NAMES)
    parser.add_argument("--only", action="append", choices=CATALOG)
    options = parser.parse_args()
    names = options.browser or list(NAMES)
    with tempfile.TemporaryDirectory() as made:
        folder = options.pages or Path(made)
        for model in options.only or CATALOG:
            path = folder / f"{model}.html"
            if not path.is_file():
                make(model, path)
            print(f"{model}: {path.stat().st_size:,} bytes", file=sys.stderr)
        times: dict[str, dict[str, float]] = {}
        for name in names:
            with opened(name) as browser:
                times[name] = {
                    path.stem: ready(browser, path) for path in sorted(folder.glob("*.html"))
                }
        print(f"| model | page | largest error, of what is allowed | {' | '.join(names)} |")
        print("|---|---:|---|" + "---:|" * len(names))
        for model in times[names[0]]:
            size = (folder / f"{model}.html").stat().st_size / 1000
            shown = " | ".join(f"{times[name][model] / 1000:.2f} s" for name in names)
            print(f"| {model} | {size:,.0f} kB | {worst(folder / f'{model}.html')} | {shown} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
