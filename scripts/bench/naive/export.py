"""The bare exporter: `export.py CHECKPOINT OUTPUT`."""

import sys

import torch

from ptx.models.networks.convnet import ConvNet

checkpoint, output = sys.argv[1:]
network = ConvNet()
network.load_state_dict(torch.load(checkpoint, weights_only=True)["weights"])
batch = torch.export.Dim("batch")
torch.onnx.export(
    network.eval(),
    (torch.zeros(2, 1, 28, 28),),
    output,
    dynamo=True,
    external_data=False,
    input_names=["image"],
    output_names=["logits"],
    dynamic_shapes=({0: batch},),
)
