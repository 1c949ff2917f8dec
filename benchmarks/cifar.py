"""CIFAR-10 for the benchmarks, as tensors: from the file beside the checkout, or from a given place."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

SMALL = Path(__file__).resolve().parents[2] / "shared" / "data" / "images" / "cifar10_png_small.npz"
"""10,000 images for training, and 2,000 for testing."""

MEAN, DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def images(count: int, first: int = 0, *, place: Path = SMALL, pixels: int = 32) -> tuple[Tensor, Tensor]:
    """Normalised training images (count, 3, pixels, pixels), and their classes (count,).

    Args:
        count: how many; fewer come back where there are no more.
        first: the first one's position.
        place: an `.npz` file of packed PNG images (`train_png`, `train_offsets`, `train_labels`), or the folder
            `cifar-10-batches-py` as its authors publish it.
        pixels: width and height, a divisor of 32; smaller ones are averages.
    """
    packed, labels = (_folder if place.is_dir() else _file)(place, first, first + count)
    x = torch.from_numpy(packed).permute(0, 3, 1, 2).float() / 255
    x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(DEVIATION)[:, None, None]
    return F.avg_pool2d(x, 32 // pixels), torch.from_numpy(labels.astype(np.int64))


def available(place: Path) -> int:
    """How many training images there are."""
    if place.is_dir():
        return 50_000
    with np.load(place) as file:
        return len(file["train_labels"])


def _file(place: Path, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    with np.load(place) as file:
        packed, offsets, labels = file["train_png"], file["train_offsets"], file["train_labels"][first:last]
    pixels = [
        np.asarray(Image.open(io.BytesIO(packed[offsets[i] : offsets[i + 1]].tobytes())).convert("RGB"))
        for i in range(first, first + len(labels))
    ]
    return np.stack(pixels), labels


def _folder(place: Path, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    batches = [pickle.loads((place / f"data_batch_{number}").read_bytes(), encoding="bytes") for number in range(1, 6)]
    pixels = np.concatenate([batch[b"data"] for batch in batches])[first:last]
    labels = np.concatenate([batch[b"labels"] for batch in batches])[first:last]
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1).copy(), labels
