"""The words for one operation in a picture: `Conv 3×3`, `16→32 /2`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from lanista.draw.svg import shortened

DETAIL = 30
"""Letters that an unknown layer may tell of itself."""


@dataclass(frozen=True)
class Words:
    """What a picture says of an operation.

    Attributes:
        name: `Conv`, `ReLU`, `+`.
        parts: what tells it from others of its name: "kernel" (as in `3×3`), "widths" (`16→32`), "stride"
            (`/2`), "groups" (`depthwise`), "extra".
        heavy: it begins a new box; norms, activations and the like go into the box of what is before them.
        symbol: it is drawn as a pill: it has no parameters and joins tensors.
    """

    name: str
    parts: Mapping[str, str] = field(default_factory=dict)
    heavy: bool = False
    symbol: bool = False

    @property
    def title(self) -> str:
        """Name and kernel."""
        return " ".join(filter(None, (self.name, self.parts.get("kernel", ""))))

    @property
    def detail(self) -> str:
        """The other parts."""
        return " ".join(self.parts[part] for part in ("widths", "stride", "groups", "extra") if self.parts.get(part))

    def merged(self, others: Sequence[Words]) -> Words:
        """The words for several operations of one kind: parts that differ are left open."""
        parts = {
            part: value if all(other.parts.get(part) == value for other in others) else _OPEN.get(part, "")
            for part, value in self.parts.items()
        }
        return Words(self.name, parts, self.heavy, self.symbol)


_OPEN = {"kernel": "k×k"}


def of_layer(module: nn.Module) -> Words:
    """The words for a layer."""
    name = type(module).__name__
    for kind, describe in _LAYERS.items():
        if isinstance(module, kind):
            return describe(name, module)
    heavy = any(True for _ in module.parameters()) and "Norm" not in name
    try:
        extra = module.extra_repr()
    except (AttributeError, TypeError, ValueError):  # the user's own, and the model may be half of one
        extra = ""
    return Words(_plain(name), {"extra": shortened(extra.replace("\n", " "), DETAIL)}, heavy)


def of_function(target: object) -> Words:
    """The words for a function, or for a method that is given by name."""
    name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
    known = _FUNCTIONS.get(name.strip("_"))
    return Words(known, symbol=True) if known else Words(name.strip("_"), heavy=name in _HEAVY)


_FUNCTIONS = {
    "add": "+", "iadd": "+", "sub": "−", "isub": "−", "mul": "×", "imul": "×", "truediv": "÷", "div": "÷",
    "matmul": "matmul", "bmm": "matmul", "cat": "concat", "concat": "concat", "stack": "stack",
    "einsum": "einsum", "where": "where", "maximum": "max", "minimum": "min",
}  # fmt: skip
_HEAVY = {"scaled_dot_product_attention", "conv2d", "linear", "conv1d", "embedding"}


def _plain(name: str) -> str:
    """A class name without the dimension that most networks have."""
    return name.removesuffix("2d") or name


def _spatial(value: Any) -> str:
    sizes = value if isinstance(value, tuple | list) else (value, value)
    return "×".join(map(str, sizes))


def _stride(value: Any) -> str:
    sizes = value if isinstance(value, tuple | list) else (value,)
    if all(size == 1 for size in sizes):
        return ""
    return f"/{sizes[0]}" if len(set(sizes)) == 1 else f"/{_spatial(value)}"


def _conv(name: str, module: Any) -> Words:
    groups = ""
    if module.groups > 1:
        groups = "depthwise" if module.groups == module.in_channels else f"{module.groups} groups"
    parts = {
        "kernel": _spatial(module.kernel_size),
        "widths": f"{module.in_channels or '?'}→{module.out_channels}",
        "stride": _stride(module.stride),
        "groups": groups,
        "extra": "" if set(module.dilation) == {1} else f"dilated {module.dilation[0]}",
    }
    return Words(_plain(name), parts, heavy=True)


def _pool(name: str, module: Any) -> Words:
    one = name.endswith("1d") and isinstance(module.kernel_size, int)
    kernel = str(module.kernel_size) if one else _spatial(module.kernel_size)
    return Words(_plain(name), {"kernel": kernel, "stride": _stride(module.stride)}, heavy=True)


def _adaptive(name: str, module: Any) -> Words:
    return Words(_plain(name).removeprefix("Adaptive"), {"extra": f"→ {_spatial(module.output_size)}"}, heavy=True)


def _linear(name: str, module: Any) -> Words:
    return Words(name, {"widths": f"{module.in_features or '?'}→{module.out_features}"}, heavy=True)


def _embedding(name: str, module: Any) -> Words:
    return Words(name, {"widths": f"{module.num_embeddings}→{module.embedding_dim}"}, heavy=True)


def _recurrent(name: str, module: Any) -> Words:
    layers = f"{module.num_layers} layers" if module.num_layers > 1 else ""
    return Words(name, {"widths": f"{module.input_size}→{module.hidden_size}", "extra": layers}, heavy=True)


def _attention(name: str, module: Any) -> Words:
    return Words("Attention", {"widths": str(module.embed_dim), "extra": f"{module.num_heads} heads"}, heavy=True)


def _dropout(name: str, module: Any) -> Words:
    return Words(_plain(name), {"extra": f"{module.p:g}"})


def _bare(name: str, module: Any) -> Words:
    return Words(_plain(name))


_LAYERS: dict[type[nn.Module] | tuple[type[nn.Module], ...], Callable[[str, Any], Words]] = {
    nn.modules.conv._ConvNd: _conv,
    nn.Linear: _linear,
    (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d): _pool,
    (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d): _adaptive,
    nn.Embedding: _embedding,
    nn.RNNBase: _recurrent,
    nn.MultiheadAttention: _attention,
    nn.modules.dropout._DropoutNd: _dropout,
    (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.ReLU, nn.ReLU6, nn.GELU, nn.SiLU, nn.Hardswish,
     nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.Flatten, nn.Identity, nn.ELU, nn.Softmax): _bare,
}  # fmt: skip
