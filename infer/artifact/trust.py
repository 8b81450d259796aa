"""Which files are programs, and whether one may be run.

"There is no safe mode" for TorchScript: an archive can write files while it is being loaded, before any
input. A `.pt2` file is loaded by the same machinery. Neither is run unless somebody vouches for it; the
seal does not, since anybody can seal a file.
"""

from __future__ import annotations

from collections.abc import Collection

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.errors import ArtifactError

Trust = bool | Collection[str]  # whether to run any program, or the sha256 digests of those to run


def require_trust(artifact: Artifact, trust: Trust) -> None:
    """Pass for data, and for a program that `trust` names.

    Raises:
        ArtifactError: E-TRUST: the file is a program that nobody vouches for.
    """
    if not artifact.format.is_program or trust is True:
        return
    if not trust or artifact.sha256 not in trust:
        raise ArtifactError(
            f"{artifact.name} is {artifact.format.noun}, which is a program, and was not exported"
            " here: pass --trust (library: trust=True) only if you know who made it, or use an ONNX"
            " file, which is data",
            code="E-TRUST",
        )
