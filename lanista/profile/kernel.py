"""NASWOT: how differently the activations of an untrained network divide a batch.

Mellor et al.: Neural architecture search without training. https://arxiv.org/abs/2006.04647
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lanista.errors import SpaceError
from lanista.profile.base import Example, Measure, Measurement
from lanista.profile.rehearsal import inputs_of, tensors_in
from lanista.profile.specimen import score, shapes


@dataclass(frozen=True, eq=False, repr=False)
class NASWOT(Measure):
    """The logarithm of the determinant of the kernel of activation codes, `ln |K|`; greater is better.

    The code of an input has a bit for each unit of each activation: whether it is on. K_ij is the number of units minus
    the Hamming distance of the codes of inputs i and j. All rectifiers that run count, modules or functions: ReLU,
    ReLU6, LeakyReLU and PReLU, which are on where they get a number above 0. So are, which is our generalisation, ELU,
    SELU, CELU, GELU, SiLU, Mish and Hardswish. Sigmoid, tanh and softmax do not count. It is -inf where two
    inputs have the same code. Batch norms use the batch's statistics; all else is in evaluation mode.

    Args:
        inputs: the batch, at least 2 inputs, along the first dimension of the tensors that activations get: a tensor,
            or a tuple of positional inputs. The paper uses 128. It is used in place of the example input.
        name: a word, where two are to be told apart.

    Raises:
        SpaceError: there is no such batch; when it is called, the model has no activation that counts.
    """

    inputs: Example
    name: str = field(default="naswot", kw_only=True)
    unit: str = field(default="", init=False)
    repeatable: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        if not tensors_in(self.inputs) or min(map(_length, tensors_in(self.inputs))) < 2:
            raise SpaceError(
                f"{self.name} got inputs of shape {shapes(self.inputs)}; give at least 2, along the first dimension"
            )

    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        return score(model, inputs_of(self.inputs, self.name), self._volume, name=self.name)

    def _volume(self, model: nn.Module, inputs: tuple[Any, ...]) -> float:
        count = _length(tensors_in(inputs)[0])
        codes = _Codes(count)
        with torch.no_grad(), codes:
            model(*inputs)
        if codes.kernel is None:
            raise SpaceError(
                f"{self.name} counts which rectifiers (ReLU, GELU, ...) are on, and {type(model).__name__} has none "
                f"that gets {count} inputs along the first dimension; use Jacov, which needs none"
            )
        return float(torch.linalg.slogdet(codes.kernel).logabsdet)

    def __repr__(self) -> str:
        return f"NASWOT({shapes(self.inputs)}, name={self.name!r})"


class _Codes(TorchDispatchMode):
    """Adds up the kernel of the activations that run.

    Attributes:
        kernel: (count, count), in double precision; None before the first activation.
    """

    def __init__(self, count: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernel: Tensor | None = None
        self._count = count

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        packet = getattr(func, "overloadpacket", None)
        if packet in _GATES or (packet in _CLIPS and len(args) > 1 and args[1] == 0):  # before it works in place
            self._note(args[0])
        return func(*args, **(kwargs or {}))

    def _note(self, x: Tensor) -> None:
        if _length(x) != self._count:
            return
        signs = torch.where(x.reshape(self._count, -1) > 0, 1.0, -1.0)
        # Agreements of two codes minus disagreements are the product of signs; both together are all units.
        agreed = (signs @ signs.T).double().add(signs.shape[1]).div(2)
        self.kernel = agreed if self.kernel is None else self.kernel + agreed


def _length(tensor: Tensor) -> int:
    return tensor.shape[0] if tensor.dim() else 0


_ATEN = torch.ops.aten
_NAMES = ("relu", "leaky_relu", "rrelu_with_noise", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish")
_GATES = {getattr(_ATEN, name + suffix) for name in _NAMES for suffix in ("", "_")} | {_ATEN._prelu_kernel}
_CLIPS = {_ATEN.hardtanh, _ATEN.hardtanh_, _ATEN.clamp, _ATEN.clamp_, _ATEN.clamp_min, _ATEN.clamp_min_}
"""Rectifiers where their lower bound is 0: ReLU6 is a `hardtanh` from 0 to 6."""
