"""lanista: neural architecture search on PyTorch."""

from lanista.errors import LanistaError
from lanista.model import ModelSpace
from lanista.space import choice, integer, real
from lanista.trial import Trial

__version__ = "0.1.0"

__all__ = ["LanistaError", "ModelSpace", "Trial", "choice", "integer", "real"]
