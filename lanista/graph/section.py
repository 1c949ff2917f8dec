"""`Section`: a part of a model with one way in and one way out, and the edits of it as a whole."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from torch import Tensor, fx, nn

from lanista.errors import InvalidMutation
from lanista.graph.draft import Draft
from lanista.graph.duplicate import duplicate
from lanista.graph.history import Edit
from lanista.graph.node import Kind, Node, Operation, described, made, matching, the_one


class Section:
    """All nodes of one call of a module, or those between two nodes; see `ModelGraph.section`.

    What an edit puts beside one of its nodes belongs to it too. It can be replaced, deleted or repeated if only
    its last node is read from outside. The first node outside that it reads is its input; others (such as a
    mask) stay what they are.
    """

    def __init__(self, draft: Draft, tag: str, name: str) -> None:
        self._draft, self._tag = draft, tag
        self.name = name

    def __repr__(self) -> str:
        return f"Section({self.name}: {len(self._nodes)} nodes)"

    @property
    def path(self) -> str | None:
        """Path of the module that it is a call of, or None."""
        return None if self._tag.startswith(":") else self._tag.partition("@")[0]

    @property
    def module(self) -> nn.Module | None:
        """The original module that it is a call of, to read its attributes; edits do not show there."""
        return None if self.path is None else self._draft.containers.get(self.path)

    @property
    def label(self) -> str | None:
        """The attribute `label` of that module, if it has one."""
        label = getattr(self.module, "label", None)
        return label if isinstance(label, str) else None

    @property
    def nodes(self) -> list[Node]:
        """Its nodes, in order."""
        return [Node(self._draft, node) for node in self._nodes]

    @property
    def input(self) -> Node:
        """The node outside that it reads first."""
        return Node(self._draft, self._ends()[0])

    @property
    def output(self) -> Node:
        """The node of it that others read."""
        return Node(self._draft, self._ends()[1])

    def find(self, *, label: str | None = None, type: Kind | None = None, name: str | None = None) -> list[Node]:
        """Its nodes that fit all of these; see `ModelGraph.find`."""
        return matching(self.nodes, label, type, name)

    def node(self, *, label: str | None = None, type: Kind | None = None, name: str | None = None) -> Node:
        """Its one node that fits all of these; see `ModelGraph.node`."""
        return the_one(self.nodes, label, type, name)

    # --- edits --------------------------------------------------------------------------------------------

    def replace(self, operation: Operation) -> Node:
        """One node, with the section's input, in place of all."""
        source, sink = self._ends()
        draft, new = self._draft, made(operation, self.name, training=self._draft.model.training)
        outer = sink.meta["stack"][: sink.meta["stack"].index(self._tag)]
        with draft.edit(Edit("replace", self.name, f"{len(self._nodes)} nodes -> {described(new)}")):
            path = self.path if isinstance(new, nn.Module) and not self._shared() else None
            node = draft.call(new, [source], sink, outer, path)
            draft.drop_effects(self._nodes)
            if self.label is not None:
                draft.set_meta(node, label=self.label)
            draft.replace_uses(sink, node, [user for user in draft.users(sink) if user is not node])
        return Node(draft, node)

    def delete(self) -> None:
        """Take it out: what read its output now reads its input."""
        source, sink = self._ends()
        with self._draft.edit(Edit("delete", self.name, f"{len(self._nodes)} nodes")):
            self._draft.drop_effects(self._nodes)
            self._draft.replace_uses(sink, source, self._draft.users(sink))

    def repeat(self, times: int) -> list[Section]:
        """Let it be there `times` times, one after another; 0 deletes it.

        Modules and parameters are copied with their weights, to `<path>_2`, `<path>_3`, ....

        Returns:
            Itself and the copies.
        """
        if times < 0:
            raise InvalidMutation(f"section {self.name!r} cannot be there {times} times")
        if times == 0:
            self.delete()
            return []
        if times == 1:
            return [self]
        source, sink = self._ends()
        draft, nodes = self._draft, self._nodes
        readers = draft.users(sink)
        sections, last, anchor = [self], sink, nodes[-1]
        with draft.edit(Edit("repeat", self.name, f"{times} times")):
            for node in nodes:
                if node.args and node.args[0] not in nodes:  # the copies read that too
                    draft.write_apart(node)
            for _ in range(1, times):
                section, twins = self._copy(nodes, {source: last}, anchor)
                sections.append(section)
                last, anchor = twins[sink], twins[nodes[-1]]
            draft.replace_uses(sink, last, readers)
        return sections

    def _copy(
        self, nodes: list[fx.Node], twins: dict[fx.Node, fx.Node], anchor: fx.Node
    ) -> tuple[Section, dict[fx.Node, fx.Node]]:
        """A copy after `anchor`; `twins` says what it reads instead of nodes outside, and is extended by the copies."""
        draft, roots = self._draft, self._roots(nodes)
        bases = roots if self.path is not None else [self._tag, *roots]
        tags = {tag for node in draft.graph.nodes for tag in node.meta["stack"]}
        numbers = (f"_{number}" for number in itertools.count(2))
        end = next(end for end in numbers if all(draft.is_free(b + end) and b + end not in tags for b in bases))
        twins, paths = dict(twins), dict[str, str]()
        memo: dict[int, Any] = {}  # one for the whole copy: what is tied inside of it stays tied
        for path, container in list(draft.containers.items()):
            if _root(path, roots) is not None:
                draft.set_container(_renamed(path, roots, end), container)
        for node in nodes:
            anchor = twins[node] = draft.copy(node, anchor, lambda n: twins.get(n, n))
            calls = node.meta["stack"]
            depth = calls.index(self._tag)
            inner = (_renamed(call, roots, end) for call in calls[depth + 1 :])
            draft.set_meta(anchor, stack=(*calls[:depth], bases[0] + end, *inner))
            if node.op in ("call_module", "get_attr"):
                path = str(node.target)
                if path not in paths:
                    paths[path] = draft.free(_renamed(path, roots, end))
                    if node.op == "call_module":
                        draft.set_module(paths[path], duplicate(draft.modules[path], memo))
                    else:
                        draft.set_tensor(paths[path], _twin(draft.tensors[path], memo))
                        draft.persistent |= {paths[path]} if path in draft.persistent else set()
                draft.set_operation(anchor, node.op, paths[path])
        return Section(draft, bases[0] + end, self.name + end), twins

    def _roots(self, nodes: list[fx.Node]) -> list[str]:
        """Paths of the outermost modules that are called as a whole in it."""
        if self.path is not None:
            return [self.path]
        stacks = (node.meta["stack"] for node in nodes)
        inner = (call for stack in stacks for call in stack[stack.index(self._tag) + 1 :][:1] if call[0] != ":")
        return list(dict.fromkeys(call.partition("@")[0] for call in inner))

    # --- its shape ----------------------------------------------------------------------------------------

    @property
    def _nodes(self) -> list[fx.Node]:
        return [node for node in self._draft.live if self._tag in node.meta["stack"]]

    def _shared(self) -> bool:
        """Whether something else still needs what is below its path."""
        prefix = f"{self.path}."
        inside = set(self._nodes)
        return any(
            node not in inside and node.op in ("call_module", "get_attr") and str(node.target).startswith(prefix)
            for node in self._draft.live
        )

    def _ends(self) -> tuple[fx.Node, fx.Node]:
        """The node outside that it reads, and the node of it that is read outside."""
        nodes = self._nodes
        inside = set(nodes)
        if not nodes:
            raise InvalidMutation(f"section {self.name!r} has no nodes any more; ask the graph for what there is now")
        sinks = [n for n in nodes if any(user not in inside for user in self._draft.users(n))]
        sources = [s for n in nodes for s in n.all_input_nodes if s not in inside and s.op != "get_attr"]
        if len(sinks) != 1 or not sources:
            names = [self._draft.title(node) for node in sinks]
            raise InvalidMutation(
                f"section {self.name!r} cannot be edited as a whole: "
                + (f"{names} are read from outside; only its last node may be" if sources else "it reads no input")
            )
        return sources[0], sinks[0]


def _root(path: str, roots: Iterable[str]) -> str | None:
    return next((root for root in roots if f"{path}.".startswith((f"{root}.", f"{root}@"))), None)


def _renamed(path: str, roots: Iterable[str], end: str) -> str:
    """The path of a copied part, or the tag of a copied call."""
    root = _root(path, roots)
    return path + end if root is None else root + end + path[len(root) :]


def _twin(value: Tensor, memo: dict[int, Any]) -> Any:
    if id(value) not in memo:
        copy = value.detach().clone()
        tied = isinstance(value, nn.Parameter)
        memo[id(value)] = nn.Parameter(copy, requires_grad=value.requires_grad) if tied else copy
    return memo[id(value)]
