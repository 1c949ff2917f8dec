"""`Draft`: a graph that is being edited, in steps that are checked and can be undone."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from lanista.errors import InvalidMutation, SpaceError
from lanista.graph.duplicate import sketch
from lanista.graph.history import Edit
from lanista.graph.order import ordered, relink
from lanista.graph.shape import Shapes, describe, signature
from lanista.graph.trace import FAULTS, Traced, plain_operator


@dataclass(frozen=True)
class Mark:
    """A state of a draft that it can be taken back to."""

    steps: int
    edits: int
    touched: frozenset[fx.Node]


class Draft:
    """A traced model, its edits, and their checks. What nodes and sections do goes through here.

    Nodes that an edit leaves without a user stay in the torch graph until the end, so that it can be undone;
    they are not `live`.

    Args:
        model: the model that was traced.
        traced: its trace.
        example: positional inputs for it, or None if shapes are not to be checked.

    Attributes:
        graph: the torch graph.
        modules: what its nodes call, by path.
        tensors: what its nodes read, by path.
        original: the first state of both.
        persistent: paths of the tensors that belong into a state dict.
        containers: the other modules of the model, by path, and for copies the originals.
        edits: what was done.
    """

    def __init__(self, model: nn.Module, traced: Traced, example: tuple[Any, ...] | None) -> None:
        self.model = model
        self.graph, self.modules, self.tensors = traced.graph, traced.modules, traced.tensors
        self.original = (dict(self.modules), dict(self.tensors))
        self.containers = {path: m for path, m in model.named_modules() if path and path not in self.modules}
        self.persistent = set(model.state_dict())
        self.edits: list[Edit] = []
        # What the model does for its effect alone: a call whose result nothing uses, such as an assertion.
        self._effects = {n for n in self.graph.nodes if not n.users and n.op not in ("placeholder", "get_attr")}
        self._taken = {name for name, _ in model.named_modules()} | set(model.state_dict()) | set(self.tensors)
        self._undo: list[Callable[[], None]] = []
        self._touched: set[fx.Node] = set()
        self._open = 0
        self._live: list[fx.Node] | None = None
        self.device = next((t.device for t in model.parameters()), torch.get_default_device())
        self._shapes = None if example is None else Shapes(example)
        self._annotate()
        if self._shapes is not None:
            self._run_all(len(example or ()))
        self._touched.clear()
        self._undo.clear()

    def _run_all(self, given: int) -> None:
        required = [node for node in self.inputs if not node.args]
        if given < len(required):
            names = ", ".join(str(node.target) for node in required)
            raise SpaceError(f"example_input has {given} inputs, but forward needs {names}")
        self._touched = set(self.graph.nodes)
        try:
            self._propagate()
        except InvalidMutation as error:
            raise SpaceError(f"the model itself does not run on example_input: {error}") from error

    def _annotate(self) -> None:
        """Note the names of all nodes, and the labels of modules."""
        for node in self.graph.nodes:
            node.meta["name"] = node.name
            if node.op == "call_module":
                module = self.modules[str(node.target)]
                label, info = (getattr(module, name, None) for name in ("label", "info"))
                node.meta["label"] = label if isinstance(label, str) else None
                node.meta["info"] = info if isinstance(info, dict) else {}

    # --- what is there ------------------------------------------------------------------------------------

    @property
    def inputs(self) -> list[fx.Node]:
        """The inputs of the model, in order."""
        return [node for node in self.graph.nodes if node.op == "placeholder"]

    @property
    def live(self) -> list[fx.Node]:
        """The nodes that the outputs depend on, the inputs, and calls for their effect; in order."""
        if self._live is None:
            waiting = [n for n in self.graph.nodes if n.op in ("placeholder", "output") or n in self._effects]
            found = set(waiting)
            while waiting:
                new = [n for n in waiting.pop().all_input_nodes if n not in found]
                found.update(new)
                waiting += new
            self._live = [node for node in self.graph.nodes if node in found]
        return self._live

    def between(self, first: fx.Node, last: fx.Node) -> list[fx.Node]:
        """The live nodes on a way from one to another, with the parameters that only these read; in order."""
        after, before = {first}, {last}
        for node in self.live:
            if after.intersection(node.all_input_nodes):
                after.add(node)
        for node in reversed(self.live):
            if before.intersection(self.users(node)):
                before.add(node)
        inside = after & before
        own = {n for n in self.live if n.op == "get_attr" and inside.issuperset(self.users(n))} if inside else set()
        return [node for node in self.live if node in inside or node in own]

    def users(self, node: fx.Node) -> list[fx.Node]:
        """The live nodes that read `node`, in order."""
        return [user for user in self.live if user in node.users]

    def shape(self, node: fx.Node) -> str:
        """Shape of what a node gives for the example input, in words; "" if that is not known."""
        return "" if self._shapes is None or node not in self._shapes.values else describe(self._shapes.values[node])

    def value(self, node: fx.Node) -> object:
        """What a node gives for the example input, without numbers; None if there is no example."""
        return None if self._shapes is None else self._shapes.values.get(node)

    def title(self, node: fx.Node) -> str:
        """How messages and records name a node: by its module's path, else by its own name."""
        return str(node.target) if node.op == "call_module" else str(node.meta["name"])

    def operation(self, node: fx.Node) -> str:
        """What a node does, in one line."""
        if node.op == "call_module":
            text = " ".join(repr(self.modules[str(node.target)]).split())
            return text if len(text) < 80 else f"{type(self.modules[str(node.target)]).__name__}(...)"
        if node.op == "call_function":
            return str(getattr(node.target, "__name__", node.target))
        return f".{node.target}()" if node.op == "call_method" else {"get_attr": str(node.target)}.get(node.op, node.op)

    # --- steps, each of which can be undone ---------------------------------------------------------------

    def call(
        self,
        operation: nn.Module | Callable[..., Any],
        sources: Iterable[fx.Node],
        anchor: fx.Node,
        stack: tuple[str, ...],
        path: str | None = None,
    ) -> fx.Node:
        """A new node after `anchor` that calls a module, or a function of tensors.

        Args:
            operation: what it calls.
            sources: what it reads.
            anchor: a node that comes after these, or is one of them.
            stack: the calls of modules that it is to be in.
            path: where to put the module; None: beside other parts of the innermost of these.
        """
        with self.graph.inserting_after(self.inputs[-1] if anchor.op == "placeholder" else anchor):
            if isinstance(operation, nn.Module):
                path = path or self.path(operation, stack)
                self.set_module(path, operation)
                node = self.graph.create_node("call_module", path, tuple(sources))
            else:
                node = self.graph.create_node("call_function", operation, tuple(sources))
        node.meta = {"stack": stack}
        self.created(node)
        return node

    def path(self, module: nn.Module, stack: tuple[str, ...]) -> str:
        """A free path for a module that gets into the innermost call of `stack`."""
        owner = next((call.partition("@")[0] for call in reversed(stack) if not call.startswith(":")), "")
        return self.free(f"{owner}.{type(module).__name__.lower()}".lstrip("."))

    def created(self, node: fx.Node) -> None:
        """Note a node that was just made, and name it."""
        # Not by torch's name, which depends on nodes that were made and taken back.
        names = {other.meta.get("name") for other in self.graph.nodes if other is not node}
        base = re.sub(r"(_\d+)+$", "", str(node.meta.get("name") or node.name))
        numbered = (f"{base}_{number}" for number in itertools.count(1))
        node.meta["name"] = next(name for name in itertools.chain([base], numbered) if name not in names)

        def undo() -> None:
            if self._shapes is not None:
                self._shapes.values.pop(node, None)
            self._touched.discard(node)
            self.graph.erase_node(node)

        self._step(undo, node)

    def copy(self, node: fx.Node, anchor: fx.Node, mapped: Callable[[fx.Node], fx.Node]) -> fx.Node:
        """A copy of a node after `anchor`, with its arguments mapped."""
        with self.graph.inserting_after(anchor):
            twin = self.graph.node_copy(node, mapped)
        twin.meta = dict(node.meta)
        self.created(twin)
        if node in self._effects:
            self._effects.add(twin)
            self._undo.append(lambda: self._effects.discard(twin))
        return twin

    def drop_effects(self, nodes: Iterable[fx.Node]) -> None:
        """Let go of calls that are there for their effect alone."""
        dropped = self._effects & set(nodes)
        self._effects -= dropped
        self._undo.append(lambda: self._effects.update(dropped))
        self._live = None

    def set_arguments(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Give a node other arguments; those may come later in the graph, but must not depend on it."""
        earlier = (node.args, node.kwargs)

        def undo() -> None:
            node.args, node.kwargs = earlier

        node.args, node.kwargs = args, kwargs
        self._step(undo, node)
        if args[:1] != earlier[0][:1]:
            self.write_apart(node)

    def write_apart(self, node: fx.Node) -> None:
        """Let a node that writes into its first input make a new tensor instead.

        What is right for the tensor that it was written for can spoil another one, which other nodes read or the
        backward pass needs.
        """
        if node in self._effects:
            return
        target: Any = node.target
        if node.op == "call_method" and target != plain_operator(target):
            self.set_operation(node, "call_function", plain_operator(target))
        elif node.op == "call_method" and target.endswith("_") and hasattr(Tensor, target[:-1]):
            self.set_operation(node, node.op, target[:-1])
        elif node.op == "call_function" and node.kwargs.get("inplace") is True:
            self.set_arguments(node, node.args, {**node.kwargs, "inplace": False})
        elif node.op == "call_module" and getattr(self.modules[target], "inplace", False) is True:
            module = copy.copy(self.modules[target])
            module.inplace = False  # type: ignore[assignment]
            self.set_module(target, module)

    def set_operation(self, node: fx.Node, kind: str, target: Any) -> None:
        """Let a node do something else with the same arguments."""
        earlier = (node.op, node.target)

        def undo() -> None:
            node.op, node.target = earlier

        node.op, node.target = kind, target
        self._step(undo, node)

    def readers_write_apart(self, node: fx.Node) -> None:
        """Let no reader of a node write into what it gives."""
        for user in self.users(node):
            if user.args[:1] == (node,):
                self.write_apart(user)

    def set_meta(self, node: fx.Node, **entries: Any) -> None:
        """Note something about a node."""
        earlier = dict(node.meta)

        def undo() -> None:
            node.meta = earlier

        node.meta = {**node.meta, **entries}
        self._undo.append(undo)

    def replace_uses(self, old: fx.Node, new: fx.Node, users: Iterable[fx.Node]) -> None:
        """Let `users` read `new` in place of `old`."""
        for user in users:
            args, kwargs = fx.map_arg((user.args, user.kwargs), lambda n: new if n is old else n)
            self.set_arguments(user, args, kwargs)

    def set_module(self, path: str, module: nn.Module) -> None:
        """Put a module at a path, and on the device of the model."""
        if any(tensor.device != self.device for tensor in module.parameters()):
            module = sketch(module) if self.device.type == "meta" else module.to(self.device)
        self._put(self.modules, path, module)

    def retie(self, old: nn.Module, new: nn.Module) -> None:
        """Let `new`, if it has the shapes of `old`, share the parameters that `old` shares with other modules."""
        shapes = [{name: p.shape for name, p in module.named_parameters()} for module in (old, new)]
        if shapes[0] != shapes[1]:
            return
        others = [module for module in self.modules.values() if module is not old]
        shared = {id(p) for module in others for p in module.parameters()} | {id(t) for t in self.tensors.values()}
        for path, part in old.named_modules():
            for name, parameter in part._parameters.items():
                if id(parameter) in shared:
                    new.get_submodule(path)._parameters[name] = parameter

    def set_tensor(self, path: str, tensor: Tensor) -> None:
        """Put a parameter, buffer or constant at a path."""
        self._put(self.tensors, path, tensor)

    def _put(self, table: dict[str, Any], path: str, value: Any) -> None:
        earlier, new = table.get(path), path not in self._taken

        def undo() -> None:
            if earlier is None:
                del table[path]
            else:
                table[path] = earlier
            if new:
                self._taken.discard(path)

        table[path] = value
        self._taken.add(path)
        self._undo.append(undo)

    def set_container(self, path: str, module: nn.Module) -> None:
        """Note which module a copied part is a copy of."""
        self._put(self.containers, path, module)

    def is_free(self, path: str) -> bool:
        """Whether there is nothing at or below a path, and never was."""
        return path not in self._taken and not any(name.startswith(f"{path}.") for name in self._taken)

    def free(self, path: str) -> str:
        """`path`, or the first of `path_2`, `path_3`, ... that is free."""
        numbered = (f"{path}_{number}" for number in itertools.count(2))
        return next(name for name in itertools.chain([path], numbered) if self.is_free(name))

    def order(self) -> None:
        """Put nodes behind their arguments, where an edit joined a node to a later one."""
        nodes = list(self.graph.nodes)
        better = ordered(nodes, self.title)
        if better is not None:
            self._undo.append(lambda: relink(nodes))
            relink(better)
            self._live = None

    def _step(self, undo: Callable[[], None], node: fx.Node) -> None:
        self._undo.append(undo)
        self._touched.add(node)
        self._live = None

    # --- edits: several steps, then a check ---------------------------------------------------------------

    @contextmanager
    def edit(self, edit: Edit | None = None) -> Iterator[None]:
        """Steps that are one edit, or several edits that are checked together; undone as a whole if they fail.

        Raises:
            InvalidMutation: what it leaves is not a model that runs.
        """
        mark = self.mark()
        self._open += 1
        done = False
        try:
            yield
            if edit is not None:
                self.edits.append(edit)
            if self._open == 1:
                self._check(self.edits[mark.edits :])
            done = True
        finally:
            self._open -= 1
            if not done:
                self.rollback(mark)

    def mark(self) -> Mark:
        """The present state, for `rollback`."""
        return Mark(len(self._undo), len(self.edits), frozenset(self._touched))

    def rollback(self, mark: Mark) -> None:
        """Undo what was done since `mark`."""
        while len(self._undo) > mark.steps:
            self._undo.pop()()
        del self.edits[mark.edits :]
        self._touched = set(mark.touched)
        self._live = None

    def _check(self, edits: list[Edit]) -> None:
        said = f"after {'; '.join(map(str, edits))}: " if edits else ""
        try:
            self.order()
            self.graph.lint()
            if self._shapes is not None:
                self._propagate()
        except InvalidMutation as error:
            raise InvalidMutation(f"{said}{error}") from error.__cause__
        except RuntimeError as error:
            raise InvalidMutation(f"{said}the graph is ill-formed: {_first_line(error)}") from error
        self._touched.clear()

    def _propagate(self) -> None:
        """Compute what the touched nodes give, and those that depend on a value that changed."""
        shapes, inputs = self._shapes, self.inputs
        assert shapes is not None
        waiting, live = set(self._touched), set(self.live)
        for node in self.graph.nodes:
            known = node in shapes.values
            if node not in live:
                if node in waiting and known:  # computed anew if an edit should use it again
                    self._set_value(node, None)
                    waiting.update(node.users)
                continue
            if known and node not in waiting:
                continue
            try:
                value = shapes.evaluate(node, self.modules, self.tensors, inputs)
            except FAULTS as error:
                raise InvalidMutation(self._fault(node, error)) from error
            if not known or signature(shapes.values[node]) != signature(value):
                waiting.update(node.users)
            self._set_value(node, (value,))

    def _set_value(self, node: fx.Node, value: tuple[object] | None) -> None:
        """Note the value of a node, or that it is not known any more."""
        values = self._shapes.values if self._shapes else {}
        earlier = (values[node],) if node in values else None

        def put(entry: tuple[object] | None) -> None:
            if entry is None:
                values.pop(node, None)
            else:
                values[node] = entry[0]

        put(value)
        self._undo.append(lambda: put(earlier))

    def _fault(self, node: fx.Node, error: Exception) -> str:
        given = ", ".join(f"{self.title(n)} {self.shape(n)}" for n in node.all_input_nodes)
        return (
            f"node {self.title(node)!r} ({self.operation(node)}) cannot run on {given or 'no inputs'}: "
            f"{_first_line(error)}. Choose an operation that takes and gives these shapes; or make edits that are "
            "legal only together inside of one `with graph.edit():`"
        )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
