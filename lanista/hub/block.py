"""Blocks that mobile networks and transformers are chained of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from lanista.errors import SpaceError
from lanista.space.domain import Architecture, Value

Activation = Callable[[], nn.Module]
"""Builds an activation layer: a class such as `nn.ReLU6`."""


def divisible(value: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `value`, but at least `divisor` and at least 90 % of the value.

    The rule by which the MobileNets and their descendants scale widths.
    """
    nearest = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * value else nearest + divisor


def example(*shape: int) -> Tensor:
    """Normal numbers, always the same ones for a shape; torch's global generator is left alone."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), device="cpu")


def check_length(name: str, values: Sequence[object], count: int, of: str) -> None:
    """Raise SpaceError unless the argument called `name` has `count` values."""
    if len(values) != count:
        raise SpaceError(f"{name} is {tuple(values)!r}, of length {len(values)}; give {count}: {of}")


class Residual(nn.Sequential):
    """Layers, one after another, whose input is added to their output."""

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer in self:
            y = layer(y)
        return x + y


def chain(layers: Mapping[str, nn.Module], *, residual: bool = False) -> nn.Sequential:
    """The layers by name, one after another; with `residual`, their input is added."""
    return (Residual if residual else nn.Sequential)(OrderedDict(layers))


def convolution(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: Activation | None = nn.ReLU,
) -> nn.Sequential:
    """Convolution, batch norm, and the activation unless it is None; with stride 1 it keeps height and width."""
    layers: dict[str, nn.Module] = {
        "conv": nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        "norm": nn.BatchNorm2d(outputs),
    }
    if activation is not None:
        layers["act"] = activation()
    return chain(layers)


class SqueezeExcite(nn.Module):
    """Channels weighted by what all positions have in them: https://arxiv.org/abs/1709.01507.

    Args:
        width: channels.
        squeezed: channels between the two layers.
        activation: between them.
        gate: gives the weights.
    """

    def __init__(
        self, width: int, squeezed: int, *, activation: Activation = nn.ReLU, gate: Activation = nn.Hardsigmoid
    ) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, squeezed, 1)
        self.act = activation()
        self.expand = nn.Conv2d(squeezed, width, 1)
        self.gate = gate()

    def forward(self, x: Tensor) -> Tensor:
        squeezed = self.act(self.reduce(x.mean((2, 3), keepdim=True)))
        weighted: Tensor = x * self.gate(self.expand(squeezed))
        return weighted


def mbconv(
    inputs: int,
    outputs: int,
    kernel: int,
    hidden: int,
    *,
    stride: int = 1,
    activation: Activation = nn.ReLU6,
    squeeze: SqueezeExcite | None = None,
    residual: bool = True,
) -> nn.Sequential:
    """The inverted bottleneck of MobileNetV2 (https://arxiv.org/abs/1801.04381).

    1x1 to `hidden` channels (left out where that is the input's number), depthwise kernel x kernel, `squeeze`, 1x1 to
    `outputs` without activation; the input is added where `residual` is true and it has the output's shape.
    """
    layers: dict[str, nn.Module] = {}
    if hidden != inputs:
        layers["expand"] = convolution(inputs, hidden, activation=activation)
    layers["depthwise"] = convolution(hidden, hidden, kernel, stride=stride, groups=hidden, activation=activation)
    if squeeze is not None:
        layers["squeeze"] = squeeze
    layers["project"] = convolution(hidden, outputs, activation=None)
    return chain(layers, residual=residual and stride == 1 and inputs == outputs)


def classifier(inputs: int, num_classes: int, dropout: float = 0.0) -> dict[str, nn.Module]:
    """Named layers from a feature map of (batch, inputs, height, width) to logits of (batch, num_classes)."""
    return {
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "dropout": nn.Dropout(dropout),
        "classifier": nn.Linear(inputs, num_classes),
    }


def initialised(model: nn.Module, *, eps: float = 1e-5, momentum: float = 0.1) -> nn.Module:
    """The convolutional model itself, with He's normal weights by outputs and small ones in linear layers.

    Args:
        model: changed in place.
        eps: of all its batch norms.
        momentum: of all its batch norms, as torch means it: the weight of the new value.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        elif isinstance(module, nn.BatchNorm2d):
            module.eps, module.momentum = eps, momentum
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return model


class Attention(nn.Module):
    """Self-attention.

    Args:
        width: channels of a token.
        heads: number of heads.
        head_width: of each head; together they need not be as wide as a token.
        bias: whether queries, keys and values have one.
        causal: whether a token sees only those up to itself.
    """

    def __init__(self, width: int, heads: int, head_width: int, *, bias: bool = True, causal: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * heads * head_width, bias=bias)
        self.qkv.packed = 3  # type: ignore[assignment]  # fewer heads are the first of each, in a supernet
        self.out = nn.Linear(heads * head_width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens of shape (batch, tokens, width), before and after."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        joined: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return joined


def transformer_block(
    width: int, attention: nn.Module, hidden: int, dropout: float = 0.0, *, activation: Activation = nn.GELU
) -> nn.Sequential:
    """Attention, then a perceptron with `hidden` channels, each on normalised tokens and with a shortcut."""
    attend = {"norm": nn.LayerNorm(width), "attention": attention, "dropout": nn.Dropout(dropout)}
    perceive = {
        "norm": nn.LayerNorm(width),
        "expand": nn.Linear(width, hidden),
        "act": activation(),
        "project": nn.Linear(hidden, width),
        "dropout": nn.Dropout(dropout),
    }
    return chain({"attention": chain(attend, residual=True), "perceptron": chain(perceive, residual=True)})


def initialised_transformer(model: nn.Module) -> nn.Module:
    """The transformer itself, with linear and embedding weights of standard deviation 0.02, and biases of 0."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.trunc_normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return model


def answers(stages: Sequence[Sequence[Mapping[str, Value]]], first: int) -> Architecture:
    """The architecture of blocks that are listed by stage, of which the first has the number `first`.

    A block is what its labels end in, and the values: {"kernel": 3} gives `stage2/block0/kernel`. Each stage also gets
    its depth, as `stage2/depth`.
    """
    architecture: Architecture = {}
    for stage, blocks in enumerate(stages, first):
        architecture[f"stage{stage}/depth"] = len(blocks)
        for index, block in enumerate(blocks):
            architecture |= {f"stage{stage}/block{index}/{what}": value for what, value in block.items()}
    return architecture
