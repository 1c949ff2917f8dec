"""How far a proxy (few epochs, a zero-cost score, a predictor) can be believed."""

from lanista.trust.assessment import Assessment, Region, Verdict, assess, needed
from lanista.trust.budget import RandomSearch, random_search
from lanista.trust.estimate import Estimate
from lanista.trust.noise import Noise, between_seeds
from lanista.trust.record import Trust, examine

__all__ = [
    "Assessment",
    "Estimate",
    "Noise",
    "RandomSearch",
    "Region",
    "Trust",
    "Verdict",
    "assess",
    "between_seeds",
    "examine",
    "needed",
    "random_search",
]
