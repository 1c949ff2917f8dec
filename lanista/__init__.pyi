from lanista import benchmark as benchmark
from lanista import draw as draw
from lanista import elastic as elastic
from lanista import evaluator as evaluator
from lanista import graph as graph
from lanista import hub as hub
from lanista import nn as nn
from lanista import oneshot as oneshot
from lanista import profile as profile
from lanista import scheduler as scheduler
from lanista import space as space
from lanista import strategy as strategy
from lanista import testing as testing
from lanista import trust as trust
from lanista.elastic import from_model as from_model
from lanista.errors import LanistaError as LanistaError
from lanista.evaluator import FunctionalEvaluator as FunctionalEvaluator
from lanista.executor import InlineExecutor as InlineExecutor
from lanista.executor import ProcessExecutor as ProcessExecutor
from lanista.experiment import Experiment as Experiment
from lanista.model import ModelSpace as ModelSpace
from lanista.space import choice as choice
from lanista.space import integer as integer
from lanista.space import real as real
from lanista.trial import Trial as Trial

__version__: str
