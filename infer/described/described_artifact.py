"""ONNX files of others: without a card, run with what their graph and a person say about them.

The signature comes from the graph, where the description leaves it out; see
`ptx.infer.described.graph_signature`. Many files have a fixed batch of 1; they are run one sample at a
time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.artifact.card import Card
from ptx.infer.artifact.onnx_bytes import read_header
from ptx.infer.backends import Backend, Options, open_backend
from ptx.infer.described.described_backend import DescribedBackend
from ptx.infer.described.description import Description
from ptx.infer.described.graph_signature import GraphReader
from ptx.infer.described.onnx_graph import read_graph
from ptx.infer.errors import ArtifactError, PtxError, UsageError

# As the field `op_type` of a node says them.
_RECURRENT = (b"\x22\x04LSTM", b"\x22\x03GRU")


@dataclass(frozen=True)
class DescribedArtifact:
    """An ONNX file of somebody else's making, with a card made for it."""

    artifact: Artifact
    card: Card
    rows: int | None  # the batch that the graph is fixed to; None where it is free
    recurrent: bool  # it has an LSTM or a GRU, on which an empty array ends the process

    def open(self, backend: str, options: Options) -> Backend:
        """The backend behind the outputs and the batch of the card."""
        opened = open_backend(backend, self.artifact, options)
        return DescribedBackend(opened, self.card.signature, self.rows, self.recurrent)


def describe_artifact(artifact: Artifact, description: Description) -> DescribedArtifact:
    """An ONNX file without a card, described.

    Raises:
        UsageError: it is another kind of file, or has a card of its own.
        ArtifactError: it takes or gives what ptx cannot describe.
        InputError: E-DESCRIPTION: the description does not fit the file.
    """
    other = not artifact.format.describable
    if other or artifact.card is not None:
        what = f"is {artifact.format.noun}" if other else "has a card of its own"
        raise UsageError(
            f"{artifact.name} {what}; only an ONNX file without a card can be described"
        )
    header = read_header(artifact.data, name=artifact.name)
    graph = read_graph(artifact.data, header, name=artifact.name)
    reader = GraphReader(artifact.name, graph, description)
    try:
        signature = reader.signature()
    except PtxError:
        raise
    except ValueError as error:
        raise ArtifactError(
            f"{artifact.name}: its inputs and outputs do not fit: {error}: name them in the description",
            code="E-ONNX-SIGNATURE",
        ) from error
    card = description.card(signature, name=artifact.path.stem)
    recurrent = any(operator in artifact.data for operator in _RECURRENT)
    described = replace(artifact, card=card, described=True)
    return DescribedArtifact(described, card, reader.rows, recurrent)
