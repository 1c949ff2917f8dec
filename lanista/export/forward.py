"""Forward methods: the statements of a traced graph, as a person would write them."""

from __future__ import annotations

import builtins
import inspect
import keyword
import operator
from collections.abc import Iterator
from itertools import count

from torch import fx

from lanista.errors import ExportError
from lanista.export.literal import WIDTH, Code, layout, literal
from lanista.export.merge import nodes_in
from lanista.export.structure import Structure
from lanista.export.trace import place

_INFIX = {
    operator.pow: ("**", 8),
    operator.matmul: ("@", 6),
    operator.mul: ("*", 6),
    operator.truediv: ("/", 6),
    operator.floordiv: ("//", 6),
    operator.mod: ("%", 6),
    operator.add: ("+", 5),
    operator.sub: ("-", 5),
    operator.lshift: ("<<", 4),
    operator.rshift: (">>", 4),
    operator.and_: ("&", 3),
    operator.xor: ("^", 2),
    operator.or_: ("|", 1),
    operator.lt: ("<", 0),
    operator.le: ("<=", 0),
    operator.eq: ("==", 0),
    operator.ne: ("!=", 0),
    operator.gt: (">", 0),
    operator.ge: (">=", 0),
}
"""Python's spelling, and how strongly it binds."""
_PREFIX = {operator.neg: "-", operator.pos: "+", operator.invert: "~"}
_UNARY, _NUMBER, _ATOM = 7, 9, 10
_IN_PLACE = {
    operator.iadd: "+=",
    operator.isub: "-=",
    operator.imul: "*=",
    operator.itruediv: "/=",
    operator.ifloordiv: "//=",
    operator.imod: "%=",
    operator.ipow: "**=",
    operator.imatmul: "@=",
    operator.iand: "&=",
    operator.ior: "|=",
    operator.ixor: "^=",
    operator.ilshift: "<<=",
    operator.irshift: ">>=",
}
_SCALAR_ATTRIBUTES = {"shape", "dtype", "device", "ndim"}
_SCALAR_METHODS = {"size", "dim", "numel"}
_RESERVED = {"self", "_", "torch", "nn", "F", "math", "operator", "float", "getattr", "len", "slice"}
_VIEWS = {
    "view",
    "reshape",
    "flatten",
    "unflatten",
    "transpose",
    "permute",
    "t",
    "unsqueeze",
    "squeeze",
    "expand",
}
_LONGEST_CHAIN = 5
_LONGEST_STATEMENT = WIDTH - 16


def statements(graph: fx.Graph, structure: Structure) -> list[str]:
    """Write the body of a forward, indented by 8 spaces.

    Variables are used again as soon as their value is no longer needed, which is how people write, and
    what keeps memory low.

    Args:
        graph: a graph of `trace`.
        structure: where the layers and tensors are that the graph uses.

    Raises:
        ExportError: the graph calls a function from outside of torch, or holds a value without source form.
    """
    return _Writer(graph, structure).lines


def signature(inputs: tuple[inspect.Parameter, ...]) -> str:
    """Write the parameters of forward, as in `self, x, scale=1.0, *, flip=False`.

    Raises:
        ExportError: a name that the generated code needs is taken, or a default has no source form.
    """
    parts, open_keywords = ["self"], False
    for parameter in inputs:
        if parameter.name in _RESERVED:
            raise ExportError(
                f"an input of forward is named {parameter.name!r}; rename it, model.py needs that name"
            )
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not open_keywords:
            open_keywords = True
            parts.append("*")
        has_default = parameter.default is not parameter.empty
        parts.append(f"{parameter.name}={literal(parameter.default)}" if has_default else parameter.name)
    return ", ".join(parts)


class _Writer:
    def __init__(self, graph: fx.Graph, structure: Structure) -> None:
        self.structure = structure
        self.uses: dict[fx.Node, int] = {}
        self.users: dict[fx.Node, list[fx.Node]] = {}
        self.nodes = self._alive(list(graph.nodes))
        self.order = {node: index for index, node in enumerate(self.nodes)}
        self.scalars: set[fx.Node] = set()
        for node in self.nodes:
            if self._is_scalar(node):
                self.scalars.add(node)
        self.inlined: dict[fx.Node, fx.Node] = {}
        self.names: dict[fx.Node, str] = {}
        self._inline()
        self.lines: list[str] = []
        self.owner, self.no_grad = "", False
        self.unpacked: dict[fx.Node, list[fx.Node | None]] = {}
        self._write()

    def _alive(self, nodes: list[fx.Node]) -> list[fx.Node]:
        """Drop reads that nothing uses. Calls stay: they may have an effect, or draw random numbers."""
        kept = []
        for node in reversed(nodes):
            pure = node.op == "get_attr" or node.target in (getattr, len, operator.getitem)
            pure |= node.op == "call_method" and node.target in _SCALAR_METHODS
            if pure and node not in self.uses:
                continue
            kept.append(node)
            for source in nodes_in(node.meta["call"]):
                self.uses[source] = self.uses.get(source, 0) + 1
                self.users.setdefault(source, []).append(node)
        return kept[::-1]

    def _is_scalar(self, node: fx.Node) -> bool:
        """Whether the value is a shape, a size or a number made of them: no tensor, no effect."""
        args = node.meta["call"][0]
        if node.op == "call_method":
            return node.target in _SCALAR_METHODS
        if node.op != "call_function":
            return False
        if node.target in (getattr, len):
            return node.target is len or args[1] in _SCALAR_ATTRIBUTES
        sources = list(nodes_in(node.meta["call"]))
        known = node.target in _INFIX or node.target in _PREFIX or node.target is operator.getitem
        return known and bool(sources) and all(source in self.scalars for source in sources)

    def _inline(self) -> None:
        """Decide which values are written inside the expression that uses them.

        A value moves only into the statement that follows it, so that the order of operations stays; an item
        of a shape that has a variable of its own may move anywhere.
        """
        lengths: dict[fx.Node, int] = {}
        listed = [node for node in self.nodes if node.op not in ("get_attr", "placeholder")]
        for index in range(len(listed) - 2, -1, -1):
            node, following = listed[index], listed[index + 1]
            if self.uses.get(node) != 1:
                continue
            user = self.users[node][0]
            final = self.inlined.get(user, user)
            adjacent = self.inlined.get(following, following) is final
            joined = node.meta["no_grad"] == final.meta["no_grad"]
            joined &= node.target not in _IN_PLACE and final.target not in _IN_PLACE
            if not adjacent or not joined:
                continue
            args = user.meta["call"][0]
            receiver = user.op in ("call_method", "output") or user.target in (getattr, operator.getitem)
            receiver = (receiver and args[0] is node) or (user.target is operator.setitem and args[2] is node)
            arithmetic = all(n.target in _INFIX or n.target in _PREFIX for n in (node, user))
            view = node.target is operator.getitem or (node.op == "call_method" and node.target in _VIEWS)
            length = lengths.get(final, 1)
            if node in self.scalars or ((receiver or arithmetic or view) and length < _LONGEST_CHAIN):
                self.inlined[node] = final
                lengths[final] = length + (node not in self.scalars)
        for node in listed:
            item = node.target is operator.getitem and node in self.scalars
            if item and node not in self.inlined and node.meta["call"][0][0] not in self.inlined:
                self.inlined[node] = node
        for node in reversed(listed):
            while node not in self.inlined and len(self._text(node)) > _LONGEST_STATEMENT:
                inside = [
                    n for n in nodes_in(node.meta["call"]) if n in self.inlined and n not in self.scalars
                ]
                if not inside:
                    break
                del self.inlined[inside[0]]

    def _items(self, node: fx.Node) -> list[fx.Node | None]:
        """Give the items of a value that is unpacked and nothing else, in order; None for unused ones."""
        number = node.meta.get("unpacked", 0)
        items = [user for user in self.users.get(node, ()) if user.target is operator.getitem]
        start = self.order[node] + 1
        following = [n for n in self.nodes[start:] if n.op != "get_attr"][: len(items)] if number else []
        if len(items) < 2 or self.uses[node] != len(items) or set(following) != set(items):
            return []
        found = {item.meta["call"][0][1]: item for item in items}
        return [found.get(index) for index in range(number)] if len(found) == len(items) else []

    def _write(self) -> None:
        for node in self.nodes:
            if node not in self.inlined and (items := self._items(node)):
                self.unpacked[node] = items
        done = {item for items in self.unpacked.values() for item in items}
        self.inlined = {node: final for node, final in self.inlined.items() if node not in done}
        written = [n for n in self.nodes if n.op != "get_attr" and n not in self.inlined and n not in done]
        last = {source: node for node in written for source in self._variables(node)}
        self.settled = {str(node.target) for node in self.nodes if node.op == "placeholder"}
        live: dict[fx.Node, str] = {}
        for node in written:
            if node.op == "placeholder":
                self.names[node] = live[node] = str(node.target)
                continue
            dying = {source: name for source, name in live.items() if last.get(source) in (node, None)}
            held = {name for source, name in live.items() if source not in dying}
            text = self._text(node)  # before names change hands
            indent = self._paragraph(node)
            args = node.meta["call"][0]
            prefix = ""
            if node.op == "output":
                prefix = "return "
            elif node.target is operator.setitem:
                prefix, text = f"{self._value(args[0])}[{self._index(args[1])}] = ", self._value(args[2])
            elif node.target in _IN_PLACE and (args[0] in dying or args[0].op == "get_attr"):
                self.names[node] = self._value(args[0])
                prefix, text = f"{self.names[node]} {_IN_PLACE[node.target]} ", self._value(args[1])
            elif node in self.unpacked:
                free = (name for name in _pool() if name not in held)
                prefix = f"{self._targets(node, free, live)} = "
            elif self.uses.get(node):
                self.names[node] = self._name(node, held, dying)
                prefix = f"{self.names[node]} = "
            self.lines += layout(prefix, text, indent)
            for source in dying:
                del live[source]
            if node in self.names:
                live[node] = self.names[node]

    def _targets(self, node: fx.Node, free: Iterator[str], live: dict[fx.Node, str]) -> str:
        """Name what `node` is unpacked into, as in `x, (y, _)`."""
        parts = []
        for item in self.unpacked[node]:
            if item is None:
                parts.append("_")
            elif item in self.unpacked:
                parts.append(f"({self._targets(item, free, live)})")
            else:
                self.names[item] = live[item] = next(free)
                parts.append(self.names[item])
        return ", ".join(parts)

    def _variables(self, node: fx.Node) -> Iterator[fx.Node]:
        """Yield the values with a variable of their own that the statement of `node` reads."""
        for source in nodes_in(node.meta["call"]):
            if source in self.inlined:
                yield from self._variables(source)
            elif source.op != "get_attr":
                yield source

    def _name(self, node: fx.Node, held: set[str], dying: dict[fx.Node, str]) -> str:
        if node in self.scalars:
            base = str(node.meta["call"][0][1]) if node.target is getattr else str(node.target)
            base = base if base in _SCALAR_ATTRIBUTES | _SCALAR_METHODS else "n"
            name = next(name for name in _numbered(base) if name not in self.settled)
            self.settled.add(name)  # never assigned again, so its items can be read anywhere
            return name
        for source in sorted(self._variables(node), key=self.order.__getitem__):
            if source in dying and source not in self.scalars and len(dying[source]) <= 3:
                return dying[source]
        return next(name for name in _pool() if name not in held)

    def _paragraph(self, node: fx.Node) -> int:
        """Start a paragraph where another module's forward begins; give the indent."""
        stack = [*node.meta.get("nn_module_stack", {}).values()]
        stack = [entry for entry in stack if self.structure.is_block(entry[0])]
        owner, cls = stack[-1] if stack else ("", object)
        no_grad = bool(node.meta["no_grad"])
        turned = no_grad and not (self.no_grad and owner == self.owner)
        if owner != self.owner:
            self.lines += [""] if self.lines else []
            self.lines += [f"        # {owner} ({cls.__name__.removesuffix('Impl')})"] if owner else []
        self.lines += ["        with torch.no_grad():"] if turned else []
        self.owner, self.no_grad = owner, no_grad
        return 12 if no_grad else 8

    def _value(self, value: object) -> str:
        return literal(value, self._reference)

    def _reference(self, node: fx.Node) -> str:
        if node.op == "get_attr":
            return self.structure.access(str(node.target))
        if node in self.inlined:
            return self._text(node)
        # Without names yet, lengths are being estimated.
        return self.names.get(node, "shape2" if node in self.scalars else "x2")

    def _text(self, node: fx.Node) -> str:
        args, kwargs = node.meta["call"]
        try:
            return self._call(node, args, kwargs)
        except ExportError as error:
            raise ExportError(f"{error} {place(node)}; use torch operations on tensors there") from error

    def _call(self, node: fx.Node, args: tuple[object, ...], kwargs: dict[str, object]) -> str:
        target = node.target
        if node.op == "output":
            text = self._value(args[0])
            return text[1:-1] if isinstance(args[0], tuple) and len(args[0]) > 1 else text
        if target in _INFIX and len(args) == 2:
            sign, strength = _INFIX[target]
            # Left to right, but for powers; comparisons must not be chained.
            power, comparison = sign == "**", strength == 0
            left = self._operand(args[0], strength + (power or comparison))
            right = self._operand(args[1], _UNARY if power else strength + 1)
            return f"{left} {sign} {right}"
        if target in _PREFIX and len(args) == 1:
            return f"{_PREFIX[target]}{self._operand(args[0], _UNARY)}"
        if target is operator.getitem:
            return f"{self._operand(args[0], _ATOM)}[{self._index(args[1])}]"
        if target is builtins.getattr and len(args) == 2 and str(args[1]).isidentifier():
            return f"{self._operand(args[0], _ATOM)}.{args[1]}"
        if node.op == "call_method":
            callee, args = f"{self._operand(args[0], _ATOM)}.{target}", args[1:]
        elif node.op == "call_module":
            callee = self.structure.access(str(target))
        else:
            callee = literal(target)
        items = [self._value(value) for value in args]
        for name, value in _stated(target, kwargs).items():
            if not name.isidentifier() or keyword.iskeyword(name):
                raise ExportError(f"a keyword argument named {name!r} cannot be written")
            items.append(f"{name}={self._value(value)}")
        return f"{callee}({', '.join(items)})"

    def _operand(self, value: object, strength: int) -> str:
        """Write a value beside an operator that binds with `strength`, in brackets where it binds less."""
        own = _ATOM
        if isinstance(value, fx.Node) and value in self.inlined:
            own = _INFIX[value.target][1] if value.target in _INFIX else own
            own = _UNARY if value.target in _PREFIX else own
        elif isinstance(value, Code):
            own = -1
        elif isinstance(value, int | float):
            own = _UNARY if value < 0 else _NUMBER  # `1.real` and `-1 ** x` read otherwise than meant
        text = self._value(value)
        return f"({text})" if own < strength else text

    def _index(self, index: object) -> str:
        if isinstance(index, slice):
            start, stop = ("" if part is None else self._value(part) for part in (index.start, index.stop))
            step = "" if index.step is None else f":{self._value(index.step)}"
            return f"{start}:{stop}{step}"
        if isinstance(index, tuple) and index:
            return ", ".join(map(self._index, index)) + ("," if len(index) == 1 else "")
        return self._value(index)


def _numbered(base: str) -> Iterator[str]:
    yield base
    for number in count(2):
        yield f"{base}{number}"


def _pool() -> Iterator[str]:
    yield from "xyz"
    for number in count(1):
        yield f"x{number}"


def _stated(target: object, kwargs: dict[str, object]) -> dict[str, object]:
    """Leave out what a Python function of torch takes by default; the tracer writes it all out."""
    if not inspect.isfunction(target):
        return kwargs
    defaults = {name: parameter.default for name, parameter in inspect.signature(target).parameters.items()}
    return {
        name: value
        for name, value in kwargs.items()
        if name not in defaults or type(value) is not type(defaults[name]) or value != defaults[name]
    }
