"""Zen-score: how strongly a network with random weights reacts to its input.

Lin et al.: Zen-NAS: A zero-shot NAS for high-performance deep image recognition. https://arxiv.org/abs/2102.01063
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite, log
from statistics import median, quantiles
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from lanista.errors import SpaceError
from lanista.profile.base import Example, Measure, Measurement
from lanista.profile.rehearsal import inputs_of, tensors_in
from lanista.profile.specimen import NORMS, score, weights
from lanista.space.domain import is_integer, is_number


@dataclass(frozen=True)
class Zen(Measure):
    """Zen-score, `ln mean |f(x) - f(x + gamma e)| + sum ln s`, the median of repeats; greater is better.

    f is the network before its global pooling: the last output of a module that has more than one position, else the
    output of the model; |.| sums over it, and the mean is over the batch, as in the authors' code. x and e are drawn
    from N(0, 1) in the shape of the example input. Weights are drawn likewise (see `specimen.weights`), biases are 0
    and the scales of norms 1; other parameters keep their values. Each norm adds ln s, where s^2 is the mean of the
    variances that it divides by, unless it is 0: batch norms as in the paper, and other norms likewise, which is our
    generalisation. (The authors' code reads running variances after two batches instead, 0.81 + 0.19 times those.)
    Residual connections stay. All random numbers come of `seed`, and none of torch's generators.
    Computed in double precision. It is -inf where the input does not reach f, and where f overflows, which is warned
    of.

    Args:
        batch: inputs of a repeat.
        repeats: how many times weights and inputs are drawn; the error is half of the interquartile range.
        gamma: size of the perturbation.
        seed: of weights and inputs.
        name: a word, where two are to be told apart.

    Raises:
        SpaceError: a setting is outside of its range.
    """

    batch: int = 16
    repeats: int = 4
    gamma: float = 1e-2
    seed: int = 0
    name: str = field(default="zen", kw_only=True)
    unit: str = field(default="", init=False, repr=False)
    repeatable: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        for setting in ("batch", "repeats"):
            value = getattr(self, setting)
            if not is_integer(value) or value < 1:
                raise SpaceError(f"{setting} is {value!r}; give an integer of at least 1")
        if not is_number(self.gamma) or not self.gamma > 0:
            raise SpaceError(f"gamma is {self.gamma!r}; give a number above 0")
        if not is_integer(self.seed) or self.seed < 0:
            raise SpaceError(f"seed is {self.seed!r}; give an integer of at least 0")

    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        inputs = inputs_of(example_input, self.name)
        if not all(isinstance(value, Tensor) and value.is_floating_point() for value in inputs):
            raise SpaceError(f"{self.name} perturbs the inputs, which must all be tensors of floating-point numbers")
        values: list[float] = []

        def observe(twin: nn.Module, inputs: tuple[Any, ...]) -> float:
            draws = torch.Generator().manual_seed(self.seed)
            with torch.no_grad():
                values.extend(self._once(twin, inputs, draws) for _ in range(self.repeats))
            return median(values)

        found = score(model, inputs, observe, name=self.name, double=True)
        if self.repeats == 1 or not all(map(isfinite, values)):
            return found
        low, _, high = quantiles(values, n=4, method="inclusive")
        return Measurement(found.value, (high - low) / 2, "")

    def _once(self, model: nn.Module, inputs: tuple[Tensor, ...], draws: torch.Generator) -> float:
        def normal(like: Tensor, *shape: int) -> Tensor:
            return torch.randn(shape, generator=draws, dtype=torch.double, device="cpu").to(like)

        for parameter in weights(model, self.name).values():
            parameter.copy_(normal(parameter, *parameter.shape))
        for module in model.modules():
            for name, parameter in module.named_parameters(recurse=False):
                if parameter.dim() < 2 and ("bias" in name or isinstance(module, NORMS)):
                    parameter.fill_(0.0 if "bias" in name else 1.0)
        x = [normal(tensor, self.batch, *tensor.shape[1:]) for tensor in inputs]
        e = [normal(tensor, self.batch, *tensor.shape[1:]) for tensor in inputs]
        features, scales = _run(model, x)
        moved, _ = _run(model, [a + self.gamma * b for a, b in zip(x, e, strict=True)])
        change = float((features - moved).abs().sum()) / self.batch
        return log(change) + sum(scales) if change != 0 else -inf


zen = Zen()
"""Zen-score with the settings of its authors, but for 4 repeats in place of 32."""


def _run(model: nn.Module, inputs: list[Tensor]) -> tuple[Tensor, list[float]]:
    """The features before the global pooling, and ln s of each norm."""
    features: list[Tensor] = []
    scales: list[float] = []

    def seen(_: nn.Module, __: object, output: object) -> None:
        tensors = tensors_in(output)
        if tensors and tensors[0].dim() > 2 and tensors[0][0, 0].numel() > 1:
            features[:] = [tensors[0].clone()]  # a later layer may work in place

    def scaled(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        variance = float(_variance(module, inputs[0]))
        if variance != 0:  # else its output is constant: it scales nothing
            scales.append(log(variance) / 2)

    hooks = [module.register_forward_hook(seen) for module in model.modules()]
    hooks += [m.register_forward_pre_hook(scaled) for m in model.modules() if isinstance(m, NORMS)]
    try:
        output = model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return (features or tensors_in(output))[0], scales


def _variance(norm: nn.Module, x: Tensor) -> Tensor:
    """The mean of the variances that a norm divides by."""
    if isinstance(norm, _BatchNorm):
        return x.transpose(0, 1).flatten(1).var(1, correction=0).mean()
    if isinstance(norm, nn.GroupNorm):
        return x.reshape(len(x), norm.num_groups, -1).var(2, correction=0).mean()
    if isinstance(norm, _InstanceNorm):
        return x.flatten(2).var(2, correction=0).mean()
    if isinstance(norm, nn.RMSNorm):
        return x.square().mean()
    assert isinstance(norm, nn.LayerNorm)
    return x.flatten(-len(norm.normalized_shape)).var(-1, correction=0).mean()
