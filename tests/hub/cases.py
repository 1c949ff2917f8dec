"""What the tests of hub spaces share: small settings, counts, and where the tables are."""

from pathlib import Path

import pytest
import torch
from torch import nn

from lanista import hub

SMALL = {
    "NASBench101": {"width": 8, "num_cells": 1},
    "NASBench201": {"width": 4, "num_cells": 1},
    "NASNet": {"width": 4, "num_cells": 3},
    "AmoebaNet": {"width": 4, "num_cells": 3},
    "PNAS": {"width": 4, "num_cells": 3},
    "ENAS": {"width": 4, "num_cells": 3},
    "DARTS": {"width": 4, "num_cells": 3, "drop_path_prob": 0.2},
    "ENASMacro": {"width": 4, "num_layers": 4},
}
"""Settings with which a model builds in milliseconds, by the space's name."""


def parameters(space, architecture):
    """Exact number of parameters, without allocating them."""
    with torch.device("meta"):
        return sum(p.numel() for p in space.build(architecture).parameters())


def macs(space, architecture):
    """Multiply-adds of convolutions and linear layers for one example."""
    with torch.device("meta"):
        model = space.build(architecture).eval()
    counted = []

    def count(module, inputs, output):
        if isinstance(module, nn.Conv2d):
            counted.append(output[0].numel() * module.weight[0].numel())
        elif isinstance(module, nn.Linear):
            counted.append(module.weight.numel())

    for module in model.modules():
        module.register_forward_hook(count)
    model(space.example_input.to("meta"))
    return sum(counted)


def table(name):
    """The path of a table of published results; skips the test where these are not beside the checkout."""
    for folder in Path(hub.__file__).resolve().parents:
        path = folder / "shared" / "data" / "tables" / name
        if path.exists():
            return path
    return pytest.skip(f"there is no shared/data/tables/{name} beside the checkout")
