"""TorchScript through `torch.jit`."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any, final

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import Options
from ptx.infer.backends.pytorch.device import (
    choose_device,
    import_torch,
    mapping_load_errors,
    mapping_run_errors,
    place_on,
    to_arrays,
    to_tensors,
)
from ptx.infer.backends.pytorch.layout import use_channels_last
from ptx.infer.errors import ArtifactError
from ptx.infer.signature import Array

# Where operators that behave otherwise in train mode are told that they are in it: which input.
_TRAIN_INPUT = {
    "aten::dropout": 2,
    "aten::dropout_": 2,
    "aten::feature_dropout": 2,
    "aten::alpha_dropout": 2,
    "aten::feature_alpha_dropout": 2,
    "aten::batch_norm": 5,
}


@final
class TorchScriptBackend:
    """Runs a TorchScript archive.

    Such an archive is a program, and loading it can already run code: `open_backend` lets through only
    what is trusted.
    """

    name = "torchscript"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        torch = import_torch()
        self._artifact, self._options = artifact, options
        self._signature = artifact.require_card().signature
        device = choose_device(options)
        with mapping_load_errors(artifact), warnings.catch_warnings():
            # TorchScript is deprecated upstream; ptx says so at export, once.
            warnings.simplefilter("ignore")
            self._module: Any = torch.jit.load(io.BytesIO(artifact.data), map_location=device)
            _require_eval_mode(artifact, self._module)
        use_channels_last(self._module, self._signature, device)
        self.device = place_on(self._module, device)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with mapping_run_errors(self._artifact, self._options, self.device):
            tensors = to_tensors(self._signature, inputs, self.device)
            return to_arrays(self._signature, self._module(*tensors))

    def close(self) -> None:
        self._module = None


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
