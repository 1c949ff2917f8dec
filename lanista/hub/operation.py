"""The operations of cell-based spaces on images, as the field has defined them since NASNet: plain modules.

Tensors have the shape (batch, channels, height, width). With stride 2, height and width are halved, rounded up.
Convolutions have no bias; batch normalisations follow them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


def relu_conv_bn(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    """ReLU, convolution, batch normalisation."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(outputs))


def conv_bn_relu(inputs: int, outputs: int, kernel: int = 1) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU, with the constants of NAS-Bench-101."""
    conv = nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, eps=1e-5, momentum=0.003), nn.ReLU())


def depthwise(channels: int, kernel: int, stride: int, dilation: int = 1) -> list[nn.Module]:
    """ReLU, depthwise and pointwise convolution, batch normalisation."""
    padding = dilation * (kernel // 2)
    return [
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.BatchNorm2d(channels),
    ]


def separable(channels: int, kernel: int, stride: int) -> nn.Sequential:
    """A separable convolution, twice, as NASNet does; only the first has the stride."""
    return nn.Sequential(*depthwise(channels, kernel, stride), *depthwise(channels, kernel, 1))


def dilated(channels: int, kernel: int, stride: int) -> nn.Sequential:
    """A separable convolution with dilation 2, once."""
    return nn.Sequential(*depthwise(channels, kernel, stride, 2))


def factorized(channels: int, kernel: int, stride: int) -> nn.Sequential:
    """ReLU, a convolution along the width, one along the height, batch normalisation."""
    reach = kernel // 2
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, (1, kernel), (1, stride), (0, reach), bias=False),
        nn.Conv2d(channels, channels, (kernel, 1), (stride, 1), (reach, 0), bias=False),
        nn.BatchNorm2d(channels),
    )


class FactorizedReduce(nn.Module):
    """ReLU, then half of the channels from a strided 1x1 convolution, half from one shifted by a pixel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs - outputs // 2, 1, 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Halve an image of even height and width."""
        x = self.relu(x)
        halved: Tensor = self.bn(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], 1))
        return halved


class DropPath(nn.Module):
    """In training, sets whole samples to zero with probability `p`, and scales the others up.

    Whoever trains may change `p` from epoch to epoch.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x * F.dropout(torch.ones_like(x[:, :1, :1, :1]), self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"


OPERATIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "skip_connect": lambda c, stride: nn.Identity() if stride == 1 else FactorizedReduce(c, c),
    "avg_pool_3x3": lambda c, stride: nn.AvgPool2d(3, stride, 1, count_include_pad=False),
    "max_pool_3x3": lambda c, stride: nn.MaxPool2d(3, stride, 1),
    "max_pool_5x5": lambda c, stride: nn.MaxPool2d(5, stride, 2),
    "max_pool_7x7": lambda c, stride: nn.MaxPool2d(7, stride, 3),
    "conv_1x1": lambda c, stride: relu_conv_bn(c, c, 1, stride),
    "conv_3x3": lambda c, stride: relu_conv_bn(c, c, 3, stride),
    "conv_3x1_1x3": lambda c, stride: factorized(c, 3, stride),
    "conv_7x1_1x7": lambda c, stride: factorized(c, 7, stride),
    "sep_conv_3x3": lambda c, stride: separable(c, 3, stride),
    "sep_conv_5x5": lambda c, stride: separable(c, 5, stride),
    "sep_conv_7x7": lambda c, stride: separable(c, 7, stride),
    "dil_conv_3x3": lambda c, stride: dilated(c, 3, stride),
    "dil_conv_5x5": lambda c, stride: dilated(c, 5, stride),
}
"""By the name that the field gives it: from channels and stride to a module that keeps the channels."""
