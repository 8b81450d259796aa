"""What --data means: a data set, and the rows of it that an export is tried on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ptx import export, infer, models, trainers
from ptx.cli.inputs import silence_decoders
from ptx.cli.terminal import print_note
from ptx.cli.workspace import DATA
from ptx.infer.errors import UsageError, pluralise

if TYPE_CHECKING:
    from ptx.infer.preprocessing import Preprocessing

QUESTION = "is the preprocessing that of the training?"
HALF = 0.5


def open_data(
    model: str, source: str | None, workspace: Path, card: infer.Card | None = None
) -> trainers.Dataset:
    """The data set for a model of the catalog.

    Without a source: what the card says the model was trained on, else the documented data where it is
    found, else the bundled data. A note says what was taken.
    """
    silence_decoders()
    entry = models.lookup(model)
    if entry is None or not has_data(entry):
        return _own_pictures(model, source, entry, card)
    cache = workspace / DATA
    fit = str(entry.preprocessing.get("fit", "digit"))
    labels = None
    columns = (entry if card is None else card).preprocessing.get("names", ())
    if card is not None:
        fit = str(card.preprocessing.get("fit", fit))
        labels = card.labels or None
        trained = str(card.training.get("data", {}).get("name", ""))
        if source is None and trained in trainers.SOURCES:
            source = trained
        elif source is None and trained:
            raise UsageError(
                f"{model} was trained on {trained}, not on data of ptx: give it as --data"
            )
    if source is None:
        source = _find_documented(entry.data, cache)
    dataset = trainers.open_dataset(
        source,
        default=entry.data,
        cache=cache,
        fit=fit,
        labels=labels,
        columns=columns,
        trained=card is not None,
        split_bounds=_split_bounds(card),
    )
    _tell(dataset, card)
    return dataset


def _own_pictures(
    model: str, source: str | None, entry: models.Entry | None, card: infer.Card | None
) -> trainers.Dataset:
    """The pictures of one's own for a model that ptx has no data for."""
    from ptx.infer.preprocessing import open_preprocessing

    opened: Preprocessing | None = None
    labels: tuple[str, ...] = ()  # without a card: training takes those of the data
    if card is not None:
        opened, labels = open_preprocessing(card.preprocessing, card.signature), card.labels
    elif entry is not None:
        opened = documented(entry)
    if opened is None or opened.pictures is None or opened.rows is None:
        raise UsageError(f"ptx has no data for {model} and reads none but pictures")
    if source is None:
        raise UsageError(f"ptx has no data for {model}: give --data, a folder of class folders")
    pictures, (height, width) = opened.pictures, opened.rows[1]
    dataset = trainers.open_dataset(
        source,
        default="mnist",
        cache=Path(),
        size=(height, width),
        labels=labels or None,
        split_bounds=_split_bounds(card),
        **({"fit": pictures.fit} if pictures.fit else {"read": pictures.read}),
    )
    _tell(dataset, card)
    return dataset


def _split_bounds(card: infer.Card | None) -> list[int] | None:
    """What tells the rows that were held out when the model was trained on files."""
    data = {} if card is None else card.training.get("data", {})
    bounds: list[int] | None = data.get("split_bounds")
    return bounds


def has_data(entry: models.Entry) -> bool:
    """Whether ptx carries data for it: of pictures, those in a form that has a name."""
    pictures = documented(entry).pictures
    return pictures is None or pictures.fit is not None


def documented(entry: models.Entry) -> Preprocessing:
    """The preprocessing that the catalog gives a model."""
    from ptx.infer.preprocessing import open_preprocessing

    return open_preprocessing(entry.preprocessing, infer.Signature.from_data(entry.signature))


def _tell(dataset: trainers.Dataset, card: infer.Card | None) -> None:
    print_note(
        f"data {dataset.name}: {len(dataset.train):,} training and {len(dataset.test):,} test rows"
        f" ({dataset.source})"
    )
    if dataset.note:
        print_note(f"data {dataset.name}: {dataset.note}")
    if card is None or not dataset.split_bounds or _split_bounds(card) is None:
        return
    if card.training["data"]["sha256"] != dataset.sha256:
        print_note(
            f"data {dataset.name}: other rows than in the training; no row that was trained on is among"
            " the test rows"
        )


def is_here(name: str, cache: Path) -> bool:
    """Whether a data set of SOURCES can be opened without the network."""
    from ptx.trainers.data.mnist import FASHION, MNIST, find_folder

    files = FASHION if name == "fashion-mnist" else MNIST
    return not trainers.SOURCES[name].download or find_folder(files, cache) is not None


def _find_documented(name: str, cache: Path) -> str:
    if is_here(name, cache):
        return name
    print_note(
        f"{name} is neither under PTX_DATA nor in {cache}: taking the bundled data;"
        f" --data {name} downloads it"
    )
    return "bundled"


@dataclass(frozen=True)
class RealRows:
    """The rows of a data set that a model can be tried on when it is exported."""

    trained: export.TrainedModel  # the model, with samples of them for its proof
    split: trainers.Split | None = None  # test rows; None where none with its labels are known

    def count_right(self, done: export.Exported) -> str:
        """How the file does on the rows, for the export's line; with a question where that is little."""
        if self.split is None:
            return ""
        backend = export.FORMATS[done.format].backend
        device = "cpu" if len(infer.BACKENDS[backend].devices) > 1 else "auto"
        with infer.load(done.path, backend=backend, device=device, trust=True) as predictor:
            found = trainers.evaluate(predictor, self.split)
        if found.accuracy is None:
            return f"; {found.figure} on {pluralise(found.rows, 'test row')}"
        text = f"; {100 * found.accuracy:.1f} % of {pluralise(found.rows, 'test row')} right"
        return f"{text}: {QUESTION}" if is_suspicious(found) else text


def find_rows(trained: export.TrainedModel, data: str | None, workspace: Path) -> RealRows:
    """The rows of --data; without it those that ptx carries, for a bare state dict.

    Raises:
        UsageError: --data that is not for the model, or has other labels.
        InputError: the data cannot be used.
    """
    from ptx.export.documented import ASSUMED

    card = trained.card
    if data is None:
        entry = models.lookup(card.model)
        if ASSUMED not in card.training or entry is None or not has_data(entry):
            return RealRows(trained)
        # Nothing that ptx carries is of another kind.
        if card.preprocessing["kind"] != entry.preprocessing["kind"]:
            return RealRows(trained)
    dataset = open_data(card.model, data or "bundled", workspace, card)
    split = _find_test_rows(card, dataset)
    if split is None and data is not None:
        raise UsageError(
            f"--data {dataset.name} has the labels {', '.join(dataset.labels) or 'none'}; the model has"
            f" {', '.join(card.labels) or 'none'}"
        )
    if not trained.samples:
        samples = trainers.sample_inputs(card, dataset)
        trained = replace(
            trained,
            samples={name: tensor.numpy() for name, tensor in samples.items()},
            examples=tuple(trainers.raw_examples(card, dataset)),
        )
    return RealRows(trained, split)


def find_own_rows(card: infer.Card, data: str | None, workspace: Path) -> trainers.Split | None:
    """The test rows of --data; without it those of the training, where they need not be fetched."""
    name = data or str(card.training.get("data", {}).get("name", ""))
    if data is None and not (name in trainers.SOURCES and is_here(name, workspace / DATA)):
        return None
    return _find_test_rows(card, open_data(card.model, name, workspace, card))


def open_own_data(card: infer.Card, data: str | None, workspace: Path) -> trainers.Dataset:
    """The data set of --data; without it that of the training, which a file in int8 cannot do without.

    Raises:
        UsageError: it is not at hand.
    """
    name = data or str(card.training.get("data", {}).get("name", ""))
    if data is None and not (name in trainers.SOURCES and is_here(name, workspace / DATA)):
        trained = f"{card.model} was trained on {name}, which is" if name else "its rows are"
        raise UsageError(
            f"--compute int8 takes its ranges from training rows and counts test rows, and {trained} not"
            " at hand: give --data"
        )
    return open_data(card.model, name, workspace, card)


def _find_test_rows(card: infer.Card, dataset: trainers.Dataset) -> trainers.Split | None:
    """The test rows, their targets by the model's labels; None where it lacks one of theirs."""
    import numpy as np

    if bool(card.labels) != bool(dataset.labels) or not set(dataset.labels) <= set(card.labels):
        return None
    if not card.labels:
        return dataset.test
    index = np.array([card.labels.index(label) for label in dataset.labels], np.int64)
    return replace(dataset.test, targets=index[dataset.test.targets])


def is_suspicious(found: trainers.Evaluation) -> bool:
    """Fewer than half are right, or no more than if the most frequent label were always given."""
    if found.accuracy is None or found.confusion is None:
        return False
    guess = found.confusion.sum(axis=1).max() / found.confusion.sum()
    return bool(found.accuracy < HALF or (len(found.confusion) > 1 and found.accuracy <= guess))
