"""Specimens: copies of models that are taken apart, for scores of untrained networks."""

from __future__ import annotations

import copy
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from lanista.errors import LanistaError, SpaceError
from lanista.profile.base import Measurement
from lanista.profile.rehearsal import (
    device_of,
    is_unfinished,
    moved,
    replaced,
    slow_path,
    tensors_in,
    unrunnable,
    untouched,
)
from lanista.space.probe import UNBUILDABLE

NORMS = (_BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
"""Modules that divide by what they see."""

log = logging.getLogger("lanista")

Loss = Callable[[Any, Any], Tensor]
"""From outputs and targets to one number, such as `torch.nn.functional.cross_entropy`."""


def score(
    model: nn.Module,
    inputs: tuple[Any, ...],
    observe: Callable[[nn.Module, tuple[Any, ...]], float],
    *,
    name: str,
    double: bool = False,
) -> Measurement:
    """What `observe` makes of a copy of the model, as a measurement.

    What overflows counts as -inf, and a line of the log warns of it: a score that is no number has no rank.

    The copy is in evaluation mode, except that its batch norms use the statistics of the batch; all its parameters
    require a gradient, and none has one. Gradients are on; torch's random numbers are the same at each call, and its
    generators are left as they were, as the model is.

    Args:
        model: on any device but meta.
        inputs: what it will be run on; on any device.
        observe: gets the copy and the inputs, on its device.
        name: the score's, for messages.
        double: compute in double precision.

    Raises:
        SpaceError: the model has no numbers, or cannot be copied or run.
    """
    if device_of(model).type == "meta":
        raise SpaceError(
            f"{name} runs {type(model).__name__}, which is on the meta device and has no numbers; "
            "build it without `torch.device('meta')`"
        )
    try:
        with warnings.catch_warnings(action="ignore"), torch.inference_mode(False), torch.enable_grad(), slow_path():
            twin = copy.deepcopy(model, _activations(model))
            with untouched(twin), _precision(double):
                torch.default_generator.manual_seed(0)
                inputs = moved(inputs, device_of(twin))
                value = observe(_prepared(twin, inputs, double), precise(inputs) if double else inputs)
    except LanistaError:
        raise
    except UNBUILDABLE as error:
        raise unrunnable(name, model, error, "") from error
    if math.isnan(value) or value == math.inf:
        log.warning("%s of a %s overflows (it is %s), and counts as -inf", name, type(model).__name__, value)
        value = -math.inf
    return Measurement(value, 0.0, "")


def _activations(model: nn.Module) -> dict[int, Any]:
    """What a forward pass left in a model, and `copy.deepcopy` refuses: by identity, what stands for it in a copy."""
    values = [value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor)]
    return {id(value): value.detach().clone() for value in values if not value.is_leaf}


def _prepared(twin: nn.Module, inputs: tuple[Any, ...], double: bool) -> nn.Module:
    twin.eval()
    if is_unfinished(twin):
        with torch.no_grad():
            twin(*inputs)
    if double:
        twin.double()
        for module in twin.modules():  # and what is no buffer
            vars(module).update(precise({k: v for k, v in vars(module).items() if isinstance(v, Tensor)}))
    for parameter in twin.parameters():
        parameter.grad = None
        parameter.requires_grad_(parameter.is_floating_point())
    for module in twin.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    return twin


@contextmanager
def _precision(double: bool) -> Iterator[None]:
    """Within the block, tensors that a forward makes are of that precision."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.double if double else before)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def precise(value: Any) -> Any:
    """The value with all numbers that are not whole in double precision."""
    return replaced(value, Tensor, lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)


def weights(model: nn.Module, name: str) -> Mapping[str, nn.Parameter]:
    """The parameters that are counted as weights: all with at least two dimensions, tied ones once, by path.

    These are the weights of convolutions, linear, recurrent and attention layers, and of embeddings; no biases, and no
    scales of norms.

    Raises:
        SpaceError: there is none.
    """
    found = {path: p for path, p in model.named_parameters() if p.dim() >= 2 and p.is_floating_point()}
    if not found:
        raise SpaceError(
            f"{name} is about the weights of a model (parameters with at least two dimensions), and "
            f"{type(model).__name__} has none"
        )
    return found


def total(outputs: object, name: str) -> Tensor:
    """The sum of all outputs that are no integers; of no dimension.

    Raises:
        SpaceError: there is none.
    """
    sums = [tensor.sum() for tensor in tensors_in(outputs) if tensor.is_floating_point()]
    if not sums:
        raise SpaceError(f"{name} needs a model that returns tensors of floating-point numbers, not {type(outputs)}")
    return torch.stack(sums).sum()


def slopes(value: Tensor, of: Sequence[Tensor]) -> list[Tensor]:
    """The gradient of `value` with respect to each tensor; zeros where it does not depend on it."""
    if not value.requires_grad:
        return [torch.zeros_like(tensor) for tensor in of]
    found = torch.autograd.grad(value, of, allow_unused=True)
    return [torch.zeros_like(t) if slope is None else slope for t, slope in zip(of, found, strict=True)]


def loss_of(model: nn.Module, inputs: tuple[Any, ...], targets: object, loss: Loss) -> Tensor:
    """The loss of a model on a batch; the targets are moved to its device."""
    return loss(model(*inputs), moved((targets,), device_of(model))[0])


def check(inputs: object, targets: object, loss: object, name: str) -> None:
    """Check the data that a score gets.

    Raises:
        SpaceError: inputs hold no tensor, there are no targets, or the loss is no function.
    """
    if not tensors_in(inputs):
        raise SpaceError(f"{name} got inputs {inputs!r}; give a batch: a tensor, or a tuple of positional inputs")
    if targets is None:
        raise SpaceError(f"{name} got no targets; give what the loss compares the outputs with, such as labels")
    if not callable(loss):
        raise SpaceError(f"{name} got loss {loss!r}; give a function of outputs and targets that returns one number")


def shapes(value: object) -> str:
    """What stands for data in a `repr`: the shape of each tensor."""
    return ", ".join(str(tuple(tensor.shape)) for tensor in tensors_in(value)) or repr(value)


def functional(function: object) -> str:
    """What stands for a function in a `repr`: its name, if it has one."""
    return getattr(function, "__qualname__", None) or repr(function)
