"""PC-DARTS: all options on a part of the channels, and weights for the edges of a cell.

Xu et al.: PC-DARTS: Partial Channel Connections for Memory-Efficient Architecture Search. ICLR 2020,
https://arxiv.org/abs/1907.05737
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from lanista.errors import OneShotError
from lanista.nn.mixture import Mixture, Relaxation
from lanista.oneshot.cost import Penalty
from lanista.oneshot.differentiable import Differentiable, share
from lanista.oneshot.portion import Portions
from lanista.space.domain import is_integer


class PCDARTS(Differentiable):
    """DARTS on one of K parts of the channels: less memory and time, and less advantage for options without weights.

    Wherever options are layers, they are run on the first part of the channels, the others are passed by, and all are
    shuffled (3.1 of the paper). Where rows compete, as the inputs of a cell's node do, each has a parameter beta of
    its own, and its options count softmax(beta) times as much (3.2). In the first part of the search only the weights
    are trained.

    Only a K-th of the layers' channels is trained, so that the shared weights do not say how good architectures are
    (`ranks` is False): train the best ones by `best` anew.

    Args:
        parts: K, at least 1; it must divide the numbers of channels.
        warmup: the share of the search in which the architecture stands still, from 0 to 1.
        learning_rate: of the parameters of the architecture.
        weight_decay: of the same.
        penalty: what a costly architecture costs.

    Raises:
        OneShotError: an argument is out of range.
    """

    ranks = False

    def __init__(
        self,
        *,
        parts: int = 4,
        warmup: float = 0.3,
        learning_rate: float = 6e-4,
        weight_decay: float = 1e-3,
        penalty: Penalty | None = None,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, penalty=penalty)
        if not is_integer(parts) or parts < 1:
            raise OneShotError(f"parts is {parts!r}; give an integer of at least 1")
        self.parts, self.warmup = parts, share("warmup", warmup)

    def initial(self, relaxation: Relaxation, generator: torch.Generator) -> Tensor:
        """The parameters at first; where rows compete, with beta as the last column."""
        shape = relaxation.rows, relaxation.options + relaxation.rivals
        return 1e-3 * torch.randn(shape, generator=generator, device="cpu")

    def prepare(self) -> None:
        super().prepare()
        self.portions = Portions(self.parts)
        supernet = self.network.supernet
        inputs, training = supernet.example, supernet.training
        if inputs is None:
            raise OneShotError(
                "whether the layers can run on a part of the channels is found out by running the model; give "
                "ModelSpace an example_input"
            )
        supernet.eval()
        try:
            with torch.no_grad():
                self.mixture("trial")(*inputs)
        finally:
            supernet.train(training)

    def rule(self, alpha: Tensor, relaxation: Relaxation, generator: torch.Generator) -> Mixture:
        weights = relaxation.drawn * self.probabilities(alpha, relaxation)
        return Mixture(weights, portion=partial(self.portions.run, relaxation.name))

    def probabilities(self, alpha: Tensor, relaxation: Relaxation) -> Tensor:
        p = alpha[:, : relaxation.options].softmax(1)
        return p * alpha[:, relaxation.options :].softmax(0) if relaxation.rivals else p
