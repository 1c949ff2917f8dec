"""Does early stopping find as good a network for half of the epochs? Real training on Fashion-MNIST, five seeds.

A search of 30 random networks, 3 epochs each, once in full and once under ASHA. Both draw the same networks with the
same initial weights. The data are the idx files of Fashion-MNIST, in the folder of the environment variable
FASHION_MNIST or in ../shared/data/images/fashion.
"""

from __future__ import annotations

import gzip
import logging
import os
import statistics
from pathlib import Path

import numpy as np
import torch
from figure import emit
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lanista import Experiment, ModelSpace, choice
from lanista.evaluator import Classification
from lanista.nn import LayerChoice, Repeat
from lanista.scheduler import ASHA
from lanista.strategy import Random

FOLDER = Path(
    os.environ.get("FASHION_MNIST", Path(__file__).parent.parent.parent / "shared" / "data" / "images" / "fashion")
)
TRIALS, EPOCHS, CHECKS = 30, 3, 2
SEEDS = range(5, 10)
"""Not those on which the reduction factor was chosen, 0 to 4."""
TRAIN, VALIDATION = 4000, 4000


def images(split: str) -> tuple[Tensor, Tensor]:
    """Images (N, 1, 28, 28) from 0 to 1, and classes (N,)."""
    with gzip.open(FOLDER / f"{split}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)
    with gzip.open(FOLDER / f"{split}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return torch.from_numpy(pixels / np.float32(255)), torch.from_numpy(labels.astype(np.int64))


def loaders() -> tuple[DataLoader, DataLoader]:
    """For training and validation, both from the training set."""
    pixels, labels = images("train")
    train = TensorDataset(pixels[:TRAIN], labels[:TRAIN])
    validation = TensorDataset(pixels[TRAIN : TRAIN + VALIDATION], labels[TRAIN : TRAIN + VALIDATION])
    return DataLoader(train, 128, shuffle=True), DataLoader(validation, 1000)


def block(inputs: int, outputs: int, kernel: int, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding="same", groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class Net(nn.Module):
    """(N, 1, 28, 28) images to (N, 10) scores."""

    def __init__(self) -> None:
        super().__init__()
        width = choice([4, 8, 12], label="width")
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = Repeat(
            lambda index: LayerChoice(
                {
                    "conv3": lambda: block(width, width, 3),
                    "conv1": lambda: block(width, width, 1),
                    "separable": lambda: nn.Sequential(*block(width, width, 5, width), *block(width, width, 1)),
                    "pool": lambda: nn.MaxPool2d(3, 1, 1),
                },
                label=f"block {index}",
            ),
            depth=(1, 4),
            label="depth",
        )
        down = choice([1, 2, 4], label="down")
        self.down = nn.MaxPool2d(down) if down > 1 else nn.Identity()
        self.head = LayerChoice(
            {
                "mean": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)),
                "flat": lambda: nn.Sequential(nn.Flatten(), nn.Linear(width * (14 // down) ** 2, 10)),
            },
            label="head",
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.down(self.blocks(self.stem(x))))


def search(seed: int, scheduler: ASHA | None) -> tuple[float, float]:
    """Best validation accuracy in percent, and epochs spent."""
    train, validation = loaders()
    evaluator = Classification(train, validation, learning_rate=0.003, max_epochs=EPOCHS, val_check_interval=1 / CHECKS)
    experiment = Experiment(
        ModelSpace(Net, example_input=torch.zeros(1, 1, 28, 28)),
        evaluator,
        Random(),
        objectives={"val_accuracy": "maximize"},
        storage=":memory:",
        scheduler=scheduler,
        seed=seed,
    )
    experiment.run(max_trials=TRIALS)
    reports = sum(len(experiment.curve(trial)) for trial in experiment.trials)
    return 100 * experiment.top(1)[0].metrics["val_accuracy"], reports / CHECKS


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    losses, shares = [], []
    for seed in SEEDS:
        full, full_epochs = search(seed, None)
        asha, asha_epochs = search(seed, ASHA(EPOCHS * CHECKS, reduction_factor=3))
        losses.append(full - asha)
        shares.append(asha_epochs / full_epochs)
        emit(
            f"best accuracy under ASHA, seed {seed}",
            asha,
            "%",
            "at most 0.5 points below full",
            full=full,
            epochs=asha_epochs,
            full_epochs=full_epochs,
        )
    emit("points lost by ASHA, mean", statistics.fmean(losses), "points", "<= 0.5", worst=round(max(losses), 3))
    emit("epochs of ASHA", statistics.fmean(shares), "of full", "<= 0.5", most=round(max(shares), 3))
