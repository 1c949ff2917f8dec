"""`ModelGraph`: a model as a graph of operations that can be looked up and edited."""

from __future__ import annotations

import builtins
import itertools
from collections.abc import Sequence
from contextlib import AbstractContextManager
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, fx, nn

from lanista.errors import InvalidMutation, SpaceError
from lanista.graph.assembly import assembled
from lanista.graph.draft import Draft
from lanista.graph.history import Mutation
from lanista.graph.node import Kind, Node, is_kind, matching, not_one, the_one
from lanista.graph.section import Section
from lanista.graph.trace import trace


class ModelGraph:
    """A model as a graph, to be edited, and then to be had as a `torch.fx.GraphModule`.

    Layers of torch.nn are nodes; other modules are traced through, and can be found as sections. Each edit is
    checked at once: the graph must be well-formed, and with an example input all nodes must run on the shapes
    that they get (which costs little: no numbers are computed). A failed edit is undone, and raises
    InvalidMutation.

    Args:
        model: a module whose forward torch.fx can trace. It stays as it is, but the edited model consists of
            its parts: copy it before if both are to be trained.
        example_input: a tensor, or a tuple of positional inputs. Inputs of forward that have a default are
            inputs of the graph only if this gives them.
        leaves: classes of modules that are kept whole, because they cannot or should not be traced through.

    Attributes:
        history: what mutators did, in order.

    Raises:
        SpaceError: the model cannot be traced (the message has the place and the way out), or does not run on
            the example.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        example_input: Tensor | tuple[Any, ...] | None = None,
        leaves: Sequence[type[nn.Module]] = (),
    ) -> None:
        wrong = [leaf for leaf in leaves if not (isinstance(leaf, type) and issubclass(leaf, nn.Module))]
        if wrong:
            raise SpaceError(f"leaves has {wrong[0]!r}; give classes of modules, such as [Attention]")
        example = example_input if isinstance(example_input, tuple) or example_input is None else (example_input,)
        traced = trace(model, len(example or ()), tuple(leaves))
        self._draft = Draft(model, traced, example)
        self._sections = 0
        self.history: list[Mutation] = []

    def __repr__(self) -> str:
        return f"ModelGraph({type(self._draft.model).__name__}: {len(self._draft.live)} nodes)"

    def __str__(self) -> str:
        """A table of all nodes: name, operation, inputs, shape."""
        rows = [(n.name, n.operation, ", ".join(i.name for i in n.inputs), n.shape) for n in self.nodes]
        widths = [min(60, max(len(row[column]) for row in rows)) for column in range(3)]
        return "\n".join(
            " ".join(f"{cell:{width}}" for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
        )

    # --- what is there ------------------------------------------------------------------------------------

    @property
    def nodes(self) -> list[Node]:
        """All nodes, each after those that it reads."""
        return [Node(self._draft, node) for node in self._draft.live]

    @property
    def inputs(self) -> list[Node]:
        """The inputs of the model."""
        return [Node(self._draft, node) for node in self._draft.inputs]

    @property
    def output(self) -> Node:
        """The node that stands for the return of forward."""
        return self.nodes[-1]

    def find(self, *, label: str | None = None, type: Kind | None = None, name: str | None = None) -> list[Node]:
        """The nodes that fit all that is given, in order; perhaps none.

        Args:
            label: of a `Placeholder`, or the attribute `label` of a module.
            type: a class of modules, a function, or the name of a method of tensors.
            name: path of a module (`layer1.0.conv1`), or name of another node; `*` stands for anything.
        """
        return matching(self.nodes, label, type, name)

    def node(self, *, label: str | None = None, type: Kind | None = None, name: str | None = None) -> Node:
        """The one node that fits; see `find`.

        Raises:
            InvalidMutation: there is none, or there are several.
        """
        return the_one(self.nodes, label, type, name)

    def sections(
        self,
        path: str | None = None,
        *,
        label: str | None = None,
        type: builtins.type[nn.Module] | None = None,
    ) -> list[Section]:
        """The calls of traced-through modules that fit all that is given, in order; perhaps none.

        Args:
            path: of the module, such as `layer1.0`; `*` stands for anything.
            label: the attribute `label` of the module.
            type: class of the module.
        """
        tags = dict.fromkeys(tag for node in self._draft.live for tag in node.meta["stack"] if tag[0] != ":")
        found = [Section(self._draft, tag, tag) for tag in tags]
        return [
            section
            for section in found
            if (path is None or fnmatchcase(str(section.path), path))
            if (label is None or section.label == label)
            if (type is None or is_kind(section.module, type))
        ]

    def section(self, path: str | None = None, *, label: str | None = None) -> Section:
        """The one call of a traced-through module that fits; see `sections`.

        Raises:
            InvalidMutation: there is none, or there are several (a module that is called twice: give the nodes
                to `between`).
        """
        found = self.sections(path, label=label)
        if len(found) != 1:
            all_ = self.sections()
            known = [s.label for s in all_ if s.label] if label else [str(s.path) for s in all_]
            raise not_one("section", label or path, [section.name for section in found], known)
        return found[0]

    def between(self, first: Node, last: Node) -> Section:
        """The section of all nodes on a way from `first` to `last`, these included.

        Raises:
            InvalidMutation: no way leads from one to the other.
        """
        draft = self._draft
        nodes = draft.between(first.torch, last.torch)
        if not nodes:
            raise InvalidMutation(
                f"no way leads from node {first.name!r} to {last.name!r}; swap them, or choose others"
            )
        self._sections += 1
        tag = f":{self._sections}"
        calls = [node.meta["stack"] for node in nodes]
        columns = zip(*calls, strict=False)
        depth = sum(1 for _ in itertools.takewhile(lambda column: len(set(column)) == 1, columns))
        for node, stack in zip(nodes, calls, strict=True):
            draft.set_meta(node, stack=(*stack[:depth], tag, *stack[depth:]))
        return Section(draft, tag, f"{first.name}..{last.name}")

    # --- edits --------------------------------------------------------------------------------------------

    def edit(self) -> AbstractContextManager[None]:
        """Edits in the `with` block are checked at its end, not one by one; if that fails, none is made."""
        return self._draft.edit()

    def module(self) -> fx.GraphModule:
        """The edited model. Parts that no edit touched keep their names and weights."""
        return assembled(self._draft)

    @property
    def draft(self) -> Draft:
        """What is under the edits; for mutators."""
        return self._draft
