from lanista.strategy.base import Strategy as Strategy
from lanista.strategy.deduplicated import Deduplicated as Deduplicated
from lanista.strategy.evolution import RegularizedEvolution as RegularizedEvolution
from lanista.strategy.filtered import Filtered as Filtered
from lanista.strategy.grid import GridSearch as GridSearch
from lanista.strategy.listed import Listed as Listed
from lanista.strategy.random import Random as Random
