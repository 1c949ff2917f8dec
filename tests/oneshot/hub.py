"""Every space of the hub, as small as it can be; a batch of two, so that batch norms can train."""

from functools import partial

import torch

from lanista import hub
from tests.hub.cases import SMALL

SETTINGS = {
    **SMALL,
    "NASBench101": {"width": 4, "num_stacks": 1, "num_cells": 1},
    "ProxylessNAS": {"widths": (8, 4, 8, 8, 8, 8, 8, 8, 16), "depths": (1, 2), "resolution": 32},
    "MnasNet": {
        "widths": (4, 8, 8, 8, 8, 8, 8),
        "layers": (1, 1, 2, 1, 1, 1, 1),
        "stem": 8,
        "head": 16,
        "resolution": 32,
    },
    "FBNet": {"stages": ((8, 1, 1), (8, 2, 2), (16, 1, 2)), "stem": 8, "head": 16, "resolution": 32},
    "ShuffleNetV2": {"channel_search": True, "stages": ((16, 2), (32, 2)), "stem": 8, "head": 16, "resolution": 32},
    "MobileNetV3": {
        "widths": (8, 8, 8, 8, 8, 8, 8, 16, 16),
        "width_multipliers": (0.5, 1.0),
        "expand_ratios": (1.0, 2.0),
        "kernels": (3, 5),
        "depths": (1, 2),
        "resolution": 32,
    },
    "OFA": {"width_mult": 0.1, "depths": (1, 2), "kernels": (3, 5), "expand_ratios": (2, 3), "resolution": 32},
    "AutoFormer": {"embed_dims": (16, 24), "heads": (1, 2), "mlp_ratios": (1.0, 2.0), "depths": (1, 2), "image": 32},
    "Decoder": {
        "vocabulary": 11,
        "context": 6,
        "widths": (8, 16),
        "heads": (1, 2),
        "mlp_ratios": (1.0, 2.0),
        "depths": (1, 2),
    },
}
"""Arguments that make a space small."""


def made(name):
    """The space, with few classes."""
    settings = SETTINGS[name]
    space = (
        getattr(hub, name)(**settings) if "vocabulary" in settings else getattr(hub, name)(num_classes=10, **settings)
    )
    space.example_input = torch.cat([space.example_input, space.example_input.flip(-1)])
    return space


SPACES = {name: partial(made, name) for name in hub.CATALOG}
"""Makers, by name."""
