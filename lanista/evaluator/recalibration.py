"""Statistics of batch normalisation, computed anew for the weights that a model has now.

Weights that come from a supernet (SPOS, arXiv:1904.00420) or from an average of weights (arXiv:1803.05407) need that:
the running statistics belong to others.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lanista.errors import EvaluatorError


def recalibrate(model: nn.Module, batches: Iterable[Any]) -> None:
    """Set the running statistics of all batch normalisation to the plain average over `batches`.

    Layers that keep no running statistics stay as they are; a model without any that does takes no batch. Other
    layers are in evaluation mode meanwhile: no dropout. Modes and momenta are as before when it returns or raises.

    Args:
        model: on any one device; its parameters are not changed.
        batches: inputs, or lists or tuples whose first entry is the input; at least one. Batches weigh the same,
            whatever their size.

    Raises:
        EvaluatorError: there are no batches.
    """
    with recalibrating(model) as needed:
        if not needed:
            return
        device = next(itertools.chain(model.parameters(), model.buffers())).device
        count = 0
        for batch in batches:
            inputs = batch[0] if isinstance(batch, list | tuple) else batch
            model(inputs.to(device))
            count += 1
    if not count:
        raise EvaluatorError("recalibrate got no batches, and the statistics are reset; give at least one batch")


@contextmanager
def recalibrating(model: nn.Module) -> Iterator[bool]:
    """In this block, forward passes of `model` set the running statistics of its batch normalisation, from nothing.

    The block is given whether there are any. Modes and momenta are as before afterwards.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    modes = {module: module.training for module in model.modules()}
    momenta = {layer: layer.momentum for layer in layers}
    try:
        model.eval()
        for layer in layers:
            layer.train()
            layer.reset_running_stats()
            layer.momentum = None  # a cumulative average
        with torch.no_grad():
            yield bool(layers)
    finally:
        for module, mode in modes.items():
            module.training = mode
        for layer, momentum in momenta.items():
            layer.momentum = momentum
