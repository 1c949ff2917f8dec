"""`Node`: one operation of a model, and the edits around it."""

from __future__ import annotations

import difflib
import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from torch import Tensor, fx, nn
from torch.fx.operator_schemas import normalize_function

from lanista.errors import InvalidMutation
from lanista.graph.constructor import arguments, rebuilt
from lanista.graph.draft import Draft
from lanista.graph.duplicate import duplicate
from lanista.graph.history import Edit
from lanista.graph.trace import plain_operator

Operation: TypeAlias = nn.Module | Callable[..., Any]
"""What a node can do: a module, which is copied; a callable without required arguments, which builds one (a class, a
`partial`, a lambda); or a function of tensors, such as `torch.add`."""


Kind: TypeAlias = type[nn.Module] | Callable[..., Any] | str
"""What nodes can be found by: a class of modules, a function such as `torch.add`, or the name of a tensor method."""


class Node:
    """One operation of a `ModelGraph`: a call of a module, function or method, or an input or the output.

    Nodes come from `ModelGraph.find` and its like. Each edit is checked at once, and undone if it fails: then it
    raises InvalidMutation. Two nodes are equal if they are the same place of the same graph.
    """

    def __init__(self, draft: Draft, node: fx.Node) -> None:
        self._draft, self._node = draft, node

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self._node is other._node

    def __hash__(self) -> int:
        return hash(self._node)

    def __repr__(self) -> str:
        shape = self.shape
        return f"Node({self.name}: {self.operation}{' -> ' + shape if shape else ''})"

    # --- what it is ---------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The path of its module (`layer1.0.conv1`), or the name of another operation (`add_1`)."""
        return self._draft.title(self._node)

    @property
    def torch(self) -> fx.Node:
        """The node of `torch.fx`. Look at it, but change it by edits only."""
        return self._node

    @property
    def names(self) -> tuple[str, ...]:
        """All names that it can be found by."""
        return tuple(dict.fromkeys((self.name, str(self._node.meta["name"]))))

    @property
    def operation(self) -> str:
        """What it does, in one line."""
        return self._draft.operation(self._node)

    @property
    def target(self) -> Any:
        """What it calls: a module, a function, or the name of a method; of an input, the name."""
        return self.module if self._node.op == "call_module" else self._node.target

    @property
    def module(self) -> nn.Module | None:
        """The module that it calls; None if it calls something else. Look at it, but replace it by edits only."""
        return self._draft.modules[str(self._node.target)] if self._node.op == "call_module" else None

    @property
    def label(self) -> str | None:
        """The label of a `Placeholder`, or of a module with an attribute `label`; it stays when that is replaced."""
        return self._node.meta.get("label")

    @property
    def info(self) -> Mapping[str, Any]:
        """What the `Placeholder` was told about its place."""
        return dict(self._node.meta.get("info", {}))

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of its module's constructor, or those of its function that are not nodes.

        Raises:
            InvalidMutation: the module does not tell.
        """
        module = self.module
        return _constants(self._node) if module is None else arguments(module)

    @property
    def inputs(self) -> list[Node]:
        """The nodes that it reads, in the order of its arguments; one that is read twice is there twice."""
        return [Node(self._draft, node) for node in _inputs(self._node)]

    @property
    def users(self) -> list[Node]:
        """The nodes that read it."""
        return [Node(self._draft, node) for node in self._draft.users(self._node)]

    @property
    def value(self) -> Any:
        """What it gives for the example input, as a tensor without numbers; None without an example."""
        return self._draft.value(self._node)

    @property
    def shape(self) -> str:
        """The shape of that, in words; "" without an example."""
        return self._draft.shape(self._node)

    # --- edits --------------------------------------------------------------------------------------------

    def relabel(self, label: str | None) -> None:
        """Give it another label."""
        self._draft.set_meta(self._node, label=label)

    def replace(self, operation: Operation) -> None:
        """Let it do something else with the same inputs; its name stays, and its label.

        A module takes the place of the old one, with new weights. Constants that a function was called with are
        dropped if a module takes its place.
        """
        self._must_be_operation("replaced")
        before, new = self.operation, made(operation, self.name, training=self._draft.model.training)
        with self._draft.edit(Edit("replace", self.name, f"{before} -> {described(new)}")):
            self._put(new)

    def update(self, **changes: Any) -> None:
        """Change arguments: of its module's constructor (`kernel_size=5, padding=2`), or of its function.

        A module is built anew; it keeps its weights where no shape changes, those that it shares with other modules
        among them, and is left alone if nothing does.
        """
        self._must_be_operation("updated")
        module, edit = self.module, Edit("update", self.name, ", ".join(f"{k}={v!r}" for k, v in changes.items()))
        if module is None:
            with self._draft.edit(edit):
                self._draft.set_arguments(self._node, *_with(self._node, changes, self.name))
            return
        try:
            new = rebuilt(module, changes)
        except InvalidMutation as error:
            raise InvalidMutation(f"node {self.name!r} cannot be updated: {error}") from error
        if new is not module:
            self._draft.retie(module, new)
            with self._draft.edit(edit):
                self._put(new)

    def insert_before(self, operation: Operation, *, input: int = 0) -> Node:
        """A new node between this one and its input number `input`."""
        source = self._source(input)
        return self._insert(source, operation, lambda new: self._draft.set_arguments(*_swapped(self._node, input, new)))

    def insert_after(self, operation: Operation, *others: Node) -> Node:
        """A new node between this one and all that read it.

        Args:
            operation: what it does.
            others: further nodes that it reads: `node.insert_after(torch.add, block.input)` makes a skip connection.
        """
        readers = self._draft.users(self._node)
        return self._insert(
            self._node, operation, lambda new: self._draft.replace_uses(self._node, new, readers), others
        )

    def insert_between(self, user: Node, operation: Operation) -> Node:
        """A new node on the edge from this one to `user`; other users still read this one."""
        if user not in self.users:
            raise InvalidMutation(
                f"node {user.name!r} does not read {self.name!r}; it reads {[n.name for n in user.inputs]}"
            )
        return self._insert(self._node, operation, lambda new: self._draft.replace_uses(self._node, new, [user._node]))

    def delete(self, *, keep: int = 0) -> None:
        """Take it out: what reads it now reads its input number `keep`."""
        self._must_be_operation("deleted")
        draft, node, source = self._draft, self._node, self._source(keep)
        with draft.edit(Edit("delete", self.name, self.operation)):
            draft.drop_effects([node])
            draft.replace_uses(node, source, draft.users(node))

    def rewire(self, source: Node, *, input: int = 0) -> None:
        """Let its input number `input` come from `source`, any node that does not depend on it."""
        old = self._source(input)
        [new] = self._own([source])
        with self._draft.edit(Edit("rewire", self.name, f"{self._draft.title(old)} -> {source.name}")):
            self._draft.set_arguments(*_swapped(self._node, input, new))

    def _insert(
        self, source: fx.Node, operation: Operation, join: Callable[[fx.Node], None], others: Sequence[Node] = ()
    ) -> Node:
        """A new node that reads `source`, and `others`; `join` lets other nodes read it."""
        draft = self._draft
        if source.op == "output":
            raise InvalidMutation("nothing comes after the output; use graph.output.insert_before")
        new = made(operation, self.name, training=self._draft.model.training)
        side = "after" if source is self._node else "before"
        with draft.edit(Edit("insert", self.name, f"{described(new)} {side} it")):
            node = draft.call(new, [source, *self._own(others)], source, self._node.meta["stack"])
            join(node)
        return Node(draft, node)

    def _put(self, new: nn.Module | Callable[..., Any]) -> None:
        """Let the node call `new`."""
        draft, node = self._draft, self._node
        if not isinstance(new, nn.Module):
            draft.set_operation(node, "call_function", new)
            draft.readers_write_apart(node)
            return
        if node.op != "call_module":
            path = draft.path(new, node.meta["stack"])
            draft.set_arguments(node, tuple(_inputs(node)), {})
        else:
            path = str(node.target)
            if any(other is not node and other.op == node.op and other.target == path for other in draft.live):
                path = draft.free(path)  # the module has other calls, which stay
        draft.set_module(path, new)
        draft.set_operation(node, "call_module", path)
        draft.readers_write_apart(node)

    def _source(self, position: int) -> fx.Node:
        sources = _inputs(self._node)
        if not 0 <= position < len(sources):
            raise InvalidMutation(f"node {self.name!r} has {len(sources)} inputs, so none with number {position}")
        return sources[position]

    def _own(self, nodes: Iterable[Node]) -> list[fx.Node]:
        """The torch nodes of nodes of this graph."""
        for node in nodes:
            if node._draft is not self._draft:
                raise InvalidMutation(f"node {node.name!r} belongs to another graph")
        return [node._node for node in nodes]

    def _must_be_operation(self, done: str) -> None:
        if self._node.op in ("placeholder", "output"):
            what = "an input" if self._node.op == "placeholder" else "the output"
            raise InvalidMutation(f"node {self.name!r} is {what} of the model and cannot be {done}; insert beside it")
        if self._node not in self._draft.live:
            raise InvalidMutation(f"node {self.name!r} was deleted; ask the graph again for what there is now")


def matching(nodes: Iterable[Node], label: str | None, kind: Kind | None, name: str | None) -> list[Node]:
    """The nodes that have this label, are of this kind, and have this name (`*` stands for anything)."""
    return [
        node
        for node in nodes
        if (label is None or node.label == label)
        if (kind is None or is_kind(node.target, kind))
        if (name is None or any(fnmatchcase(own, name) for own in node.names))
    ]


def the_one(nodes: Sequence[Node], label: str | None, kind: Kind | None, name: str | None) -> Node:
    """The one node that matches; raises InvalidMutation if it is not one."""
    found = matching(nodes, label, kind, name)
    if len(found) != 1:
        known = [node.label for node in nodes if node.label] if label else [node.name for node in nodes]
        raise not_one("node", label or name or kind, [node.name for node in found], known)
    return found[0]


def not_one(kind: str, wanted: object, found: list[str], known: Sequence[str]) -> InvalidMutation:
    """What to say where one thing was asked for and none or several are `found` among those `known`."""
    if found:
        return InvalidMutation(f"{len(found)} {kind}s fit {wanted!r}: {', '.join(found[:8])}; ask for one, or use find")
    near = difflib.get_close_matches(str(wanted), known, n=3) or list(dict.fromkeys(known))[:8]
    return InvalidMutation(f"no {kind} fits {wanted!r}; there are, for example, {', '.join(near) or 'none'}")


def is_kind(target: object, kind: Kind) -> bool:
    """Whether what a node calls is of this kind."""
    if isinstance(kind, type):
        return isinstance(target, kind)
    return kind in (target, plain_operator(target)) or plain_operator(target) == plain_operator(kind)


def made(operation: Operation, where: str, *, training: bool) -> nn.Module | Callable[..., Any]:
    """The module that an operation builds or copies, in this mode; or the function that it is.

    Raises:
        InvalidMutation: it is neither.
    """
    if isinstance(operation, nn.Module):
        return duplicate(operation).train(training)
    if not callable(operation):
        raise InvalidMutation(f"node {where!r} cannot become {operation!r}; give a module, or a callable")
    if not isinstance(operation, type) and _takes_tensors(operation):
        if not str(getattr(operation, "__qualname__", "<")).replace(".", "_").isidentifier():
            raise InvalidMutation(
                f"node {where!r} cannot call {operation!r}, which has no name that code could use; "
                "define the function at the top of a file, or give a module"
            )
        return operation
    try:
        module = operation()
    except TypeError as error:
        raise InvalidMutation(
            f"node {where!r}: {operation!r} builds no module without arguments ({error}); give a callable that does, "
            "lambda: nn.Conv2d(8, 8, 3)"
        ) from error
    if not isinstance(module, nn.Module):
        raise InvalidMutation(f"node {where!r}: {operation!r} built {module!r}, which is not a torch.nn.Module")
    return module.train(training)


def _takes_tensors(operation: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(operation).parameters.values()
    except ValueError:  # a builtin, as most functions of torch are
        return True
    return any(p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD for p in parameters)


def described(operation: object) -> str:
    """An operation in one line."""
    if isinstance(operation, nn.Module):
        text = " ".join(repr(operation).split())
        return text if len(text) < 80 else f"{type(operation).__name__}(...)"
    return str(getattr(operation, "__name__", operation))


def _inputs(node: fx.Node) -> list[fx.Node]:
    found: list[fx.Node] = []
    fx.map_arg((node.args, node.kwargs), lambda n: found.append(n) or n)  # type: ignore[func-returns-value]
    return found


def _swapped(node: fx.Node, position: int, new: fx.Node) -> tuple[fx.Node, tuple[Any, ...], dict[str, Any]]:
    """A node and its arguments, with input number `position` replaced."""
    numbers = itertools.count()
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: new if next(numbers) == position else n)
    return node, args, kwargs


def _named(node: fx.Node) -> dict[str, Any] | None:
    """The arguments of a function by name; None if they have none."""
    try:
        signature = inspect.signature(node.target)  # type: ignore[arg-type]
        if all(p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in signature.parameters.values()):
            bound = signature.bind(*node.args, **node.kwargs)
            bound.apply_defaults()
            return dict(bound.arguments)
    except (TypeError, ValueError):
        pass
    if node.op != "call_function" or not callable(node.target):
        return None
    types: Any = tuple(Tensor if isinstance(a, fx.Node) else type(a) for a in node.args)
    keywords = {name: Tensor if isinstance(a, fx.Node) else type(a) for name, a in node.kwargs.items()}
    pair = normalize_function(node.target, node.args, dict(node.kwargs), types, keywords, True)
    return None if pair is None else dict(pair.kwargs)


def _constants(node: fx.Node) -> dict[str, Any]:
    found = _named(node) or dict(node.kwargs)
    return {name: value for name, value in found.items() if not isinstance(value, fx.Node)}


def _with(node: fx.Node, changes: Mapping[str, Any], name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a function's node with some changed; the first stays positional, as it is mostly the input."""
    named = _named(node)
    if named is None:
        unknown = [change for change in changes if change not in node.kwargs]
        if unknown:
            raise InvalidMutation(
                f"node {name!r} is called without names for its arguments, so {unknown[0]!r} cannot be found; "
                "replace it by a module"
            )
        return node.args, {**node.kwargs, **changes}
    unknown = [change for change in changes if change not in named]
    if unknown:
        raise InvalidMutation(f"node {name!r} has no argument {unknown[0]!r}; it has {', '.join(named)}")
    wanted = {**named, **changes}
    first = list(wanted)[: 1 if node.args else 0]
    return tuple(wanted.pop(key) for key in first), wanted
