"""Training, export and prediction, each killed many times."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from files import temporaries, weights_of
from place import SUFFIXES, Place
from tally import Row
from verb import Verb, kill, run, start

ENDED = (-9, -15, 130, 143, 0)  # how a verb may end that is killed; 0: it was quicker


def kill_training(place: Place, kills: int, dice: random.Random) -> Row:
    """Chains of resumed runs: each must end with the weights of the run that was left alone."""
    row = Row("train")
    whole, checkpoint = place.root / "whole", place.model / "checkpoint.pt"
    shutil.rmtree(whole)
    begun = time.monotonic()
    run(place.train(workspace=whole))
    duration, expected = time.monotonic() - begun, weights_of(whole / "convnet" / "checkpoint.pt")
    while row.counts["kills"] < kills or checkpoint.exists():
        resume = ["--resume"] if checkpoint.exists() else []
        verb = start(place.train(*resume))
        last = row.counts["kills"] >= kills
        if not last:
            kill(verb, place.model, 10, dice, duration)
        code = ended(row, verb)
        if checkpoint.exists():
            row.expect(weights_of(checkpoint), "a checkpoint that is not whole")
        elif resume:
            row.expect(False, "the checkpoint has gone")
        if code == 0:
            row.counts["resumed runs"] += 1
            row.expect(weights_of(checkpoint) == expected, "other weights than without the kills")
            row.expect(not temporaries(place.model), "a temporary file was left behind")
            shutil.rmtree(place.model)
    place.model.mkdir()
    return row


def kill_exports(place: Place, kills: int, dice: random.Random) -> Row:
    """A file of one checkpoint is replaced by one of another, which is killed."""
    row, checkpoints = Row("export"), place.checkpoints
    known = {weights_of(path) for path in checkpoints}
    durations = {}
    for form in SUFFIXES:
        begun = time.monotonic()
        run(place.export(form, checkpoints[0]))
        durations[form] = time.monotonic() - begun
    while row.counts["kills"] < kills:
        form = list(SUFFIXES)[row.counts["kills"] % len(SUFFIXES)]
        target = place.model / f"convnet{SUFFIXES[form]}"
        before = target.read_bytes()
        newer = next(path for path in checkpoints if weights_of(path) != weights_of(target))
        verb = start(place.export(form, newer))
        kill(verb, place.model, 2, dice, durations[form])
        ended(row, verb)
        check_export(row, place, target, before, known)
    for form in SUFFIXES:
        run(place.export(form, checkpoints[0]))
    left = [*temporaries(place.model), *temporaries(place.workspace / "exported")]
    row.expect(not left, f"left behind: {left}")
    return row


def kill_predictions(place: Place, kills: int, dice: random.Random) -> Row:
    """A file of answers is replaced by the same ones, or stays."""
    row = Row("predict --output")
    begun = time.monotonic()
    run(place.predict())
    duration, new = time.monotonic() - begun, place.answers.read_bytes()
    while row.counts["kills"] < kills:
        old = b"what was there before\n"
        place.answers.write_bytes(old)
        verb = start(place.predict())
        kill(verb, place.answers.parent, 2, dice, duration)
        code = ended(row, verb)
        found = place.answers.read_bytes()
        row.counts["new"] += found == new
        row.expect(found == new if code == 0 else found in (old, new), "answers that are not whole")
    run(place.predict())
    left = [path.name for path in place.answers.parent.iterdir() if path != place.answers]
    row.expect(not left, f"left behind: {left}")
    return row


def check_export(row: Row, place: Place, target: Path, before: bytes, known: set[str]) -> None:
    """The file is the old one or the new one, and may be run without --trust."""
    from ptx.infer.artifact.artifact import read_artifact

    row.expect(weights_of(target) in known, f"{target.name} is not whole")
    if target.read_bytes() != before:
        row.counts["new"] += 1
    artifact = read_artifact(target)
    trusted = (place.workspace / "exported" / artifact.sha256).exists()
    row.expect(trusted or not artifact.format.is_program, f"{target.name} is not in the ledger")


def ended(row: Row, verb: Verb) -> int:
    """Wait for a verb that was killed, and check how it ended."""
    code, errors = verb.wait()
    row.counts["kills"] += code != 0
    row.expect(code in ENDED, f"exit code {code}: {errors[-300:]}")
    row.expect("Traceback" not in errors, errors[-300:])
    return code
