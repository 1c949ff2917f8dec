"""Edits of whole models as `torch.fx` graphs: `Mutator`s, which ask questions, and what they work on."""

from lanista.graph.graph import ModelGraph
from lanista.graph.history import Edit, Mutation
from lanista.graph.mutator import Mutator
from lanista.graph.node import Node
from lanista.graph.section import Section

__all__ = ["Edit", "ModelGraph", "Mutation", "Mutator", "Node", "Section"]
