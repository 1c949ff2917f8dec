"""SynFlow: how much flows through the weights of a network, without data.

Tanaka et al.: Pruning neural networks without any data by iteratively conserving synaptic flow.
https://arxiv.org/abs/2006.05467; as a score of architectures: Abdelfattah et al., https://arxiv.org/abs/2101.08134
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lanista.profile.base import Example, Measure, Measurement
from lanista.profile.rehearsal import inputs_of, replaced
from lanista.profile.specimen import NORMS, score, slopes, total, weights


@dataclass(frozen=True)
class Synflow(Measure):
    """The natural logarithm of synaptic flow: `ln sum_w |w * dR/dw|`; greater is better.

    R is the sum of the outputs on an example input of ones, where every parameter is replaced by its absolute value
    and norms pass on what they get (batch norms as in the papers; layer, group, instance and RMS norms likewise). The
    sum goes over all weights: see `specimen.weights`. Integer inputs, such as tokens, are used as they are. It is
    computed in double precision, in which the sum itself can be 1e100 and more; the field publishes, and ranks by, its
    logarithm, in which ranks are the same. The batch of the example input adds its logarithm.

    It is -inf where nothing flows (the outputs do not depend on any weight). It is made for convolutions, linear layers
    and rectifiers. Attention multiplies activations with each other, which inflates it: in deep transformers even
    double precision overflows, which counts as -inf and is warned of.
    """

    name: str = field(default="synflow", kw_only=True)
    unit: str = field(default="", init=False, repr=False)
    repeatable: bool = field(default=False, init=False, repr=False)

    def __call__(self, model: nn.Module, example_input: Example = None) -> Measurement:
        inputs = inputs_of(example_input, self.name)
        return score(model, inputs, self._flow, name=self.name, double=True)

    def _flow(self, model: nn.Module, inputs: tuple[Any, ...]) -> float:
        counted = list(weights(model, self.name).values())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.abs_()
        for module in model.modules():
            if isinstance(module, NORMS):
                module.forward = _passed  # type: ignore[method-assign]
        ones = replaced(inputs, Tensor, lambda x: torch.ones_like(x) if x.is_floating_point() else x)
        flow = total(model(*ones), self.name)
        flows = [w * slope for w, slope in zip(counted, slopes(flow, counted), strict=True)]
        amount = sum(float(each.abs().sum()) for each in flows)
        return math.log(amount) if amount > 0 else -math.inf


def _passed(x: Tensor, *_: object) -> Tensor:
    return x


synflow = Synflow()
"""The logarithm of synaptic flow."""
