"""What --data means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ptx import infer, models, trainers
from ptx.cli.model.workspace import DATA
from ptx.cli.output.terminal import note
from ptx.cli.values import decoders
from ptx.infer.errors import UsageError

if TYPE_CHECKING:
    from ptx.infer.preprocessing import Preprocessing


def open_data(
    model: str, source: str | None, workspace: Path, card: infer.Card | None = None
) -> trainers.Dataset:
    """The data set for a model of the catalog.

    Without a source: what the card says the model was trained on, else the documented data where it is
    found, else the bundled data. A note says what was taken.
    """
    decoders.silence()
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
        source, default=entry.data, cache=cache, fit=fit, labels=labels, columns=columns
    )
    _tell(dataset)
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
        **({"fit": pictures.fit} if pictures.fit else {"read": pictures.read}),
    )
    _tell(dataset)
    return dataset


def has_data(entry: models.Entry) -> bool:
    """Whether ptx carries data for it: of pictures, those in a form that has a name."""
    pictures = documented(entry).pictures
    return pictures is None or pictures.fit is not None


def documented(entry: models.Entry) -> Preprocessing:
    """The preprocessing that the catalog gives a model."""
    from ptx.infer.preprocessing import open_preprocessing

    return open_preprocessing(entry.preprocessing, infer.Signature.from_data(entry.signature))


def _tell(dataset: trainers.Dataset) -> None:
    note(
        f"data {dataset.name}: {len(dataset.train):,} training and {len(dataset.test):,} test rows"
        f" ({dataset.source})"
    )


def _find_documented(name: str, cache: Path) -> str:
    from ptx.trainers.data.mnist import FASHION, MNIST, find_folder

    files = {"mnist": MNIST, "fashion-mnist": FASHION}.get(name)
    if not trainers.SOURCES[name].download or files is None:
        return name
    if find_folder(files, cache) is not None:
        return name
    note(
        f"{name} is neither under PTX_DATA nor in {cache}: taking the bundled data;"
        f" --data {name} downloads it"
    )
    return "bundled"
