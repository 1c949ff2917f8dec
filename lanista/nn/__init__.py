"""Questions about the structure of a model; each returns plain `torch.nn` modules."""

from lanista.nn.input import InputChoice
from lanista.nn.layer import LayerChoice
from lanista.nn.placeholder import Placeholder
from lanista.nn.repeat import Repeat

__all__ = ["InputChoice", "LayerChoice", "Placeholder", "Repeat"]
