"""The forms of a file, weights and int8, of eight documented and four torchvision networks: a table.

    ptx train NAME --workspace F …           # each of DOCUMENTED, on its whole data
    ./scripts/run forms/form_table F         # trains torchvision's, makes every form, counts labels
    ./scripts/run forms/form_table F --time  # then speeds, by processor time, and the table

torchvision's networks are trained first, on MNIST in 32×32 pixels (`torchvision_networks.py`); at
224×224 speed alone is measured, with random weights and rows, since it does not depend on the numbers.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torchvision_networks import EPOCHS, LARGE, SMALL, images, known, make, signature, train

from ptx.export import KnownRows, TrainedModel, Trial, describe, read_model, round_weights
from ptx.export.exporting import prove
from ptx.export.formats import find_attach, find_convert
from ptx.export.int8.exporting import try_int8
from ptx.export.int8.gates import FASTER, GATES, times_as_fast
from ptx.export.int8.known_rows import answer
from ptx.export.int8.static_qdq import quantise
from ptx.export.tracing import trace
from ptx.infer import Signature, load
from ptx.report import make_trial
from ptx.trainers import SOURCES, open_dataset

DOCUMENTED = (
    "convnet", "mlp", "deep-convnet", "neural-network", "inception", "residual-net", "lstm",
    "name-classifier",
)  # fmt: skip
TORCHVISION = tuple(EPOCHS)
FORMS = ("float16", "int8")
CALIBRATION, RANDOM = 512, 16  # rows
LENGTH = 28  # of an axis that is free
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--time", action="store_true")
    parser.add_argument("--only", choices=(*DOCUMENTED, *TORCHVISION), action="append")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    names = asked.only or (*DOCUMENTED, *TORCHVISION)
    for name in names:
        (time_forms if asked.time else make_forms)(
            name, asked.folder / "forms" / name, asked.folder
        )
    if asked.time:
        print_table(asked.folder / "forms")


def make_forms(name: str, folder: Path, workspace: Path) -> None:
    """Write each form of one network, with what was counted; a network that is there already is kept."""
    if (folder / "facts.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    found = _count(name, folder, workspace)
    if name in TORCHVISION:
        _write_large(name, folder)
    (folder / "facts.json").write_text(json.dumps(found))
    print(name, found, flush=True)


def _count(name: str, folder: Path, workspace: Path) -> dict[str, Any]:
    """Every form, proved or put to its gates, with the labels that it changes."""
    trained, trial = (_documented if name in DOCUMENTED else _torchvision)(name, workspace)
    tried = try_int8(trained, folder / "compute.onnx", trial)
    plain, attach = tried.proved, find_attach("onnx")
    card = plain.card.to_json()
    (folder / "float32.onnx").write_bytes(attach(plain.content, card))
    (folder / "compute.onnx").write_bytes(attach(tried.content, card))
    found: dict[str, Any] = {"float32": len(plain.content), "compute": len(tried.content)}
    for form in FORMS:
        rounded = prove(round_weights(trained, form), "onnx", folder / f"{form}.onnx")
        (folder / f"{form}.onnx").write_bytes(attach(rounded.content, rounded.card.to_json()))
        found[form] = len(rounded.content)
        found[f"{form} changed"] = _changed(folder / "float32.onnx", folder / f"{form}.onnx", trial)
    found["accuracy"] = tried.found.accuracy.to_data()
    said = {key: gate(tried.found) for key, gate in GATES.items()}
    found["said"] = "; ".join(filter(None, said.values()))
    found["against"] = [key for key, words in said.items() if key != "worth" and words]
    return found


def _documented(name: str, workspace: Path) -> tuple[TrainedModel, Trial]:
    trained = read_model(workspace / name / "checkpoint.pt")
    source = str(trained.card.training["data"]["name"])
    assert source in SOURCES, f"{name} was trained on {source}"
    dataset = open_dataset(source, default=source, cache=workspace / "data")
    return trained, make_trial(trained, dataset, max_drop=0.1, for_size=False)


def _torchvision(name: str, workspace: Path) -> tuple[TrainedModel, Trial]:
    dataset = open_dataset("mnist", default="mnist", cache=workspace / "data")
    network = train(name, dataset, workspace / "forms" / name / "trained.pt")
    pixels, test = (split.inputs["image"] for split in (dataset.train, dataset.test))
    trained = describe(
        network, name=name.replace("_", "-"), task="classification", labels=list(dataset.labels),
        signature=signature(SMALL), samples={"image": images(test[:64])},
    )  # fmt: skip
    calibration = known(pixels[:CALIBRATION], dataset.train.targets[:CALIBRATION])
    return trained, Trial(calibration, known(test, dataset.test.targets))


def _changed(plain: Path, rounded: Path, trial: Trial) -> int:
    """Test answers of two files that have other labels."""
    with load(plain, backend="ort-cpu") as first, load(rounded, backend="ort-cpu") as second:
        answers = (answer(one, trial.test).given for one in (first, second))
        return int(np.not_equal(*answers).sum())


def _write_large(name: str, folder: Path) -> None:
    """The network at 224×224 in float32 and in int8, without a card; for its speed alone."""
    large = Signature.from_data(signature(LARGE))
    content = find_convert("onnx")(trace(make(name, LARGE).eval(), large), opset=None)
    inputs = large.example({"batch": RANDOM}, seed=SEED)
    rows = KnownRows("random", RANDOM, lambda: iter([(inputs, np.zeros(RANDOM, np.int64))]))
    (folder / "large-float32.onnx").write_bytes(content)
    (folder / "large-compute.onnx").write_bytes(quantise(content, large, rows))


def time_forms(name: str, folder: Path, _: Path) -> None:
    """Each form beside float32, in turns."""
    speed = {}
    if (folder / "float32.onnx").exists():
        with load(folder / "float32.onnx", backend="ort-cpu", threads=1) as plain:
            inputs = plain.signature.example(dict.fromkeys(plain.signature.dynamic_axes, LENGTH))
            for form in (*FORMS, "compute"):
                with load(folder / f"{form}.onnx", backend="ort-cpu", threads=1) as ours:
                    speed[form] = times_as_fast(ours, plain, inputs)
    if name in TORCHVISION:
        speed["large"] = _time_large(folder)
    (folder / "speed.json").write_text(json.dumps(speed))


class _Bare:
    """A session without a card, as `times_as_fast` asks for one."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        self.signature = Signature.from_data(signature(LARGE))
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, settings, ["CPUExecutionProvider"])
        self.backend = self
        self.run: Callable[[Any], Any] = partial(session.run, None)


def _time_large(folder: Path) -> dict[int, float]:
    ours, plain = (_Bare(folder / f"large-{form}.onnx") for form in ("compute", "float32"))
    inputs = plain.signature.example({"batch": 1}, seed=SEED)
    return times_as_fast(ours, plain, inputs)  # type: ignore[arg-type]


def print_table(folder: Path) -> None:
    """The rows of docs/how-to/export-variants.md."""
    for name in (*DOCUMENTED, *TORCHVISION):
        if not (folder / name / "speed.json").exists():
            continue
        found = json.loads((folder / name / "facts.json").read_text())
        speed = json.loads((folder / name / "speed.json").read_text())
        cells = [name, f"{found['float32']:,}"]
        for form in FORMS:
            changed = str(found.get(f"{form} changed", "–"))
            cells += [f"{found[form] / found['float32']:.2f}", changed, _fast(speed, form)]
        cells += [f"{found['compute'] / found['float32']:.2f}", *_counted(found)]
        cells += [_fast(speed, "compute"), _fast(speed, "large"), _verdict(found, speed)]
        print(f"| {' | '.join(cells)} |")


def _counted(found: dict[str, Any]) -> tuple[str, str]:
    """Accuracy and labels in int8."""
    if "accuracy" not in found:
        return "–", "–"
    one = found["accuracy"]
    return (
        f"{100 * one['before']:.2f} → {100 * one['after']:.2f}",
        f"{one['changed']:,} of {one['answers']:,}",
    )


def _fast(speed: dict[str, dict[str, float]], key: str) -> str:
    return " / ".join(f"{value:.2f}" for value in speed[key].values()) if key in speed else "–"


def _verdict(found: dict[str, Any], speed: dict[str, Any]) -> str:
    if "against" not in found:
        return "not counted"
    slow = max(speed["compute"].values()) < FASTER
    reasons = [*found["against"], *(["slower"] if slow else [])]
    return f"refused: {', '.join(reasons)}" if reasons else "written"


if __name__ == "__main__":
    main()
