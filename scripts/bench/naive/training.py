"""Epochs of the ConvNet as tutorials train it: `training.py DATA.npz slices|loader EPOCHS`.

Prints the seconds of the last epoch.
"""

import sys
import time

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from ptx.models.networks.convnet import ConvNet

path, form, epochs = sys.argv[1:]
with np.load(path) as data:
    pixels, classes = data["images"], data["labels"].astype(np.int64)
torch.manual_seed(0)
network, loss = ConvNet(), nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
images, labels = torch.from_numpy(pixels).unsqueeze(1).float().div(255), torch.from_numpy(classes)


class Digits(Dataset):
    """Pictures through the transforms of torchvision, one at a time."""

    transform = transforms.Compose([transforms.ToPILImage(), transforms.ToTensor()])

    def __len__(self):
        return len(pixels)

    def __getitem__(self, row):
        return self.transform(pixels[row]), int(classes[row])


def slices():
    order = torch.randperm(len(images))
    for start in range(0, len(images), 100):
        rows = order[start : start + 100]
        yield images[rows], labels[rows]


for _ in range(int(epochs)):
    started = time.perf_counter()
    batches = (
        slices() if form == "slices" else DataLoader(Digits(), 100, shuffle=True, num_workers=2)
    )
    for batch, targets in batches:
        optimizer.zero_grad()
        loss(network(batch), targets).backward()
        optimizer.step()
print(time.perf_counter() - started)
