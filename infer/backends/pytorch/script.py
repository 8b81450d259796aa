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
from ptx.infer.backends.pytorch.script_graph import free_convolutions
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

    Such an archive is a program, and loading it can already run code: `open_backend` lets through only
    what is trusted.
    """

    name = "torchscript"

    def _load(self, artifact: Artifact, options: Options, device: str) -> Any:
        with warnings.catch_warnings():
            # TorchScript is deprecated upstream; ptx says so at export, once.
            warnings.simplefilter("ignore")
            module = import_torch().jit.load(io.BytesIO(artifact.data), map_location=device)
            if device != "cpu" and free_convolutions(module):
                log.warning(
                    "%s was traced with TF32 fixed in its convolutions, and other programs compute them"
                    " so on CUDA; here they are computed in %s: export it again",
                    artifact.name,
                    options.precision,
                )
            _require_eval_mode(artifact, module)
        if device.startswith("cuda"):
            flatten_weights(list(find_in_script(module)))
        return module


def _require_eval_mode(artifact: Artifact, module: Any) -> None:
    """Refuse a module that was saved, or traced, in train mode; nothing of it has run yet.

    Raises:
        ArtifactError: E-TRAIN-MODE.
    """
    graph = module.inlined_graph  # held: its nodes are gone with it
    training = [name or "it" for name, part in module.named_modules() if part.training]
    fixed = {
        node.kind()
        for kind, position in _TRAIN_INPUT.items()
        for node in graph.findAllNodes(kind, recurse=True)
        if list(node.inputs())[position].toIValue() is True
    }
    if training or fixed:
        what = [*training[:3], *sorted(kind.removeprefix("aten::") for kind in fixed)]
        raise ArtifactError(
            f"{artifact.name} was saved in train mode ({', '.join(what)}), where dropout gives each run"
            " another answer: call network.eval() before it is scripted or traced, and save it again",
            code="E-TRAIN-MODE",
        )
