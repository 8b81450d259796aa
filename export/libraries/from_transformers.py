"""`hf:FOLDER`: a network of transformers, as `save_pretrained` writes it into a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers
from torch import nn

from ptx.export.libraries import LibraryModel, transformers_images, transformers_texts
from ptx.infer.artifact.files import NAME
from ptx.infer.errors import ArtifactError, PtxError, UsageError, quote

Specify = Callable[[Path, nn.Module, Any], tuple[nn.Module, dict[str, Any]]]

# The end of a network's class → what makes the network and the arguments of `describe` of its folder.
SPECIFIERS: dict[str, Specify] = {
    "ForImageClassification": transformers_images.specify_classifier,
    "ForSequenceClassification": transformers_texts.specify_classifier,
    "Model": transformers_texts.specify_encoder,
}


def load(name: str, weights: Path | None) -> LibraryModel:
    """See `load_library_model`; `name` is the folder."""
    folder = Path(name)
    if weights is not None:
        raise UsageError(
            f"hf:{name} takes its weights from the folder: leave out the file of weights"
        )
    if not (folder / "config.json").is_file():
        raise UsageError(f"{quote(folder)} has no config.json; expected a folder of transformers")
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        network_class, specify = _find_class(folder, config)
        network: nn.Module = network_class.from_pretrained(folder, local_files_only=True)
        network, spec = specify(folder, network.eval(), config)
    except PtxError:  # some are subclasses of ValueError
        raise
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(
            f"{quote(folder)} cannot be loaded: {_first_line(error)}", code="E-TORCH-LOAD"
        ) from error
    resolved = folder.resolve().name
    spec["name"] = resolved if NAME.fullmatch(resolved) else "network"
    notes = ["weights, preprocessing and labels are the folder's"]
    if longest := spec["preprocessing"].get("max_length"):
        notes.append(f"longer texts are truncated to {longest} tokens, as with truncation=True")
    return LibraryModel(network.eval(), spec, tuple(notes))


def _find_class(folder: Path, config: Any) -> tuple[Any, Specify]:
    """The class that wrote the folder, and its entry of SPECIFIERS.

    Raises:
        UsageError: it is not a class of transformers itself, or has no entry.
    """
    name = (getattr(config, "architectures", None) or [""])[0]
    network_class = getattr(transformers, name, None) if name else None
    for end, specify in SPECIFIERS.items():
        if network_class is not None and name.endswith(end):
            return network_class, specify
    expected = ", ".join(f"…{end}" for end in SPECIFIERS)
    raise UsageError(
        f"{quote(folder)} has {name or 'no named network'}; expected a classifier or a"
        f" sentence encoder of transformers ({expected}): write a function that returns the network and"
        " describe its inputs and outputs"
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
