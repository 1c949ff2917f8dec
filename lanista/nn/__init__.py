"""Questions about the structure of a model; each returns plain `torch.nn` modules."""

from lanista.nn.activation import AutoActivation
from lanista.nn.cell import Cell
from lanista.nn.input import InputChoice
from lanista.nn.layer import LayerChoice
from lanista.nn.nasbench101 import NasBench101Cell
from lanista.nn.nasbench201 import NasBench201Cell
from lanista.nn.placeholder import Placeholder
from lanista.nn.repeat import Repeat

__all__ = [
    "AutoActivation",
    "Cell",
    "InputChoice",
    "LayerChoice",
    "NasBench101Cell",
    "NasBench201Cell",
    "Placeholder",
    "Repeat",
]
