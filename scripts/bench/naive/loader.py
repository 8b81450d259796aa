"""The same with torchvision's ImageFolder and a DataLoader: `loader.py ROOT CHECKPOINT OUTPUT`.

ROOT holds the folder of pictures as its one class folder.
"""

import json
import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from ptx.models.networks.convnet import ConvNet

root, checkpoint, output = sys.argv[1:]
network = ConvNet()
network.load_state_dict(torch.load(checkpoint, weights_only=True)["weights"])
network.eval()
pictures = ImageFolder(root, transforms.Compose([transforms.Grayscale(), transforms.ToTensor()]))
with Path(output).open("w") as file, torch.inference_mode():
    done = 0
    for images, _ in DataLoader(pictures, batch_size=256, num_workers=2):
        scores, labels = network(images).softmax(dim=1).max(dim=1)
        for score, label in zip(scores.tolist(), labels.tolist(), strict=True):
            path = pictures.samples[done][0]
            file.write(json.dumps({"input": path, "label": str(label), "score": score}) + "\n")
            done += 1
