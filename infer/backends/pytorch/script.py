"""TorchScript through `torch.jit`."""

from __future__ import annotations

import io
import logging
import warnings
from typing import Any, final

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import Options
from ptx.infer.backends.pytorch.device import TorchBackend, import_torch
from ptx.infer.backends.pytorch.recurrent_weights import find_in_script, flatten_weights
from ptx.infer.backends.pytorch.script_graph import unfreeze_convolutions
from ptx.infer.errors import ArtifactError

log = logging.getLogger(__name__)

# For operators that behave differently in training mode, the index of the input that selects it.
_TRAIN_INPUT = {
    "aten::dropout": 2,
    "aten::dropout_": 2,
    "aten::feature_dropout": 2,
    "aten::alpha_dropout": 2,
    "aten::feature_alpha_dropout": 2,
    "aten::batch_norm": 5,
}


@final
class TorchScriptBackend(TorchBackend):
    """Runs a TorchScript archive.

    Such an archive is a program, and loading it can already run code: `open_backend` allows only trusted
    files.
    """

    name = "torchscript"

    def _load(self, artifact: Artifact, options: Options, device: str) -> Any:
        with warnings.catch_warnings():
            # PyTorch has deprecated TorchScript; ptx says so once, at export.
            warnings.simplefilter("ignore")
            module = import_torch().jit.load(io.BytesIO(artifact.data), map_location=device)
            if device != "cpu" and unfreeze_convolutions(module):
                log.warning(
                    "%s was traced with TF32 fixed in its convolutions, which other programs use on"
                    " CUDA; ptx computes them in %s: export it again",
                    artifact.name,
                    options.precision,
                )
            _require_eval_mode(artifact, module)
        if device.startswith("cuda"):
            flatten_weights(list(find_in_script(module)))
        return module


def _require_eval_mode(artifact: Artifact, module: Any) -> None:
    """Check, before anything in it runs, that a module was not saved or traced in training mode.

    Raises:
        ArtifactError: E-TRAIN-MODE.
    """
    graph = module.inlined_graph  # a reference, because its nodes are freed with it
    training = [name or "it" for name, part in module.named_modules() if part.training]
    traced = {
        node.kind()
        for kind, position in _TRAIN_INPUT.items()
        for node in graph.findAllNodes(kind, recurse=True)
        if list(node.inputs())[position].toIValue() is True
    }
    if training or traced:
        names = [*training[:3], *sorted(kind.removeprefix("aten::") for kind in traced)]
        raise ArtifactError(
            f"{artifact.name} was saved in training mode ({', '.join(names)}), in which each run of"
            " dropout differs: call network.eval() before it is scripted or traced, and save it again",
            code="E-TRAIN-MODE",
        )
