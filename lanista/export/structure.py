"""The structure of an exported model: its layers and tensors, their paths, and the code that builds them."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lanista.errors import ExportError
from lanista.export.constructor import constructor, layer, plain_sequential
from lanista.export.literal import Code, layout, literal
from lanista.export.trace import Trace

BLOCK = '''class Block(nn.Module):
    """Layers and tensors under one name; `Model.forward` runs them."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
'''


@dataclass
class _Unit:
    """A module of the exported model: a layer, or a container of what is kept below it."""

    module: nn.Module
    path: str
    is_layer: bool = False
    children: dict[str, _Unit] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [*self.tensors, *self.children]

    @property
    def kind(self) -> str:
        """Which class holds the parts: a torch container where the original is one and nothing is missing."""
        numbered = self.names == [str(index) for index in range(len(self.names))]
        whole = list(self.children) == list(self.module._modules)
        if plain_sequential(self.module) and not self.tensors and whole:
            return "Sequential"
        if self.names and numbered and not self.tensors:
            return "ModuleList"
        if self.names and numbered and isinstance(self.module, nn.ParameterList):
            return "ParameterList"
        plain = all(map(_is_name, self.names))
        parameters = all(isinstance(value, nn.Parameter) for value in self.tensors.values())
        only_parameters = bool(self.tensors) and parameters and not self.children
        if only_parameters and (isinstance(self.module, nn.ParameterDict) or not plain):
            return "ParameterDict"
        if not self.tensors and (isinstance(self.module, nn.ModuleDict) or not plain):
            return "ModuleDict"
        return "Block"

    def part(self, name: str, whole: str) -> str:
        """Write how to reach the part `name` of this unit, which itself is reached as `whole`."""
        if not self.is_layer and self.kind in ("ModuleDict", "ParameterDict") and self.path:
            return f"{whole}[{literal(name)}]"
        indexed = isinstance(self.module, nn.ModuleList | nn.Sequential) if self.is_layer else True
        if name.isdigit() and indexed and self._list_like:
            return f"{whole}[{name}]"
        return f"{whole}.{name}" if _is_name(name) else f"getattr({whole}, {literal(name)})"

    @property
    def _list_like(self) -> bool:
        if self.is_layer:
            return True
        return self.kind == "Sequential" or (bool(self.path) and self.kind in ("ModuleList", "ParameterList"))


def _is_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


class Structure:
    """The modules, parameters and buffers that a trace uses, under their original paths.

    Attributes:
        base: the class that the model extends.
        lines: the body of its `__init__`.
        weights: parameters and persistent buffers: path in the state dict -> value.
        constants: tensors that the code needs and a state dict does not hold: path -> value.
        ties: paths of tensors that are another path's tensor -> that path.
        dtype: the one floating-point dtype of all tensors, if it is one.
    """

    def __init__(self, model: nn.Module, trace: Trace | None) -> None:
        """Collect what `trace` uses; without a trace, `model` is a layer or a chain of layers and kept whole.

        Raises:
            ExportError: a layer cannot be written as a constructor, or a dtype not as code.
        """
        self.model = model
        self.modes = trace.modes if trace else {}
        self.modules = dict(model.named_modules(remove_duplicate=False))
        used = {id(model)} if trace is None else self._called(trace)
        self.root = self._unit(model, "", used, trace.tensors if trace else {})
        self.units = {unit.path: unit for unit in _walk(self.root)}
        self.state = self._state()
        self.ties = self._ties()
        persistent = model.state_dict().keys()
        self.weights = {path: value for path, value in self.state.items() if path in persistent}
        self.constants = {path: value for path, value in self.state.items() if path not in persistent}
        dtypes = _inexact(self.state.values())
        self.dtype = dtypes.pop() if len(dtypes) == 1 else None
        self.lines: list[str] = []
        self._shared: dict[int, str] = {}
        self.base = self._build()

    def _called(self, trace: Trace) -> set[int]:
        """Ids of the layers and chains that run, and of the layers whose tensors are read."""
        used = set()
        for graph in trace.graphs:
            for node in graph.nodes:
                if node.op == "call_module":
                    used.add(id(self.modules[str(node.target)]))
                elif node.op == "get_attr":
                    parts = str(node.target).split(".")[:-1]
                    for end in range(1, len(parts) + 1):
                        owner = self.modules[".".join(parts[:end])]
                        if layer(owner):
                            used.add(id(owner))
                            break
        return used

    def _unit(self, module: nn.Module, path: str, used: set[int], tensors: dict[str, Tensor]) -> _Unit:
        whole = layer(module) is not None
        unit = _Unit(module, path, is_layer=whole)
        if whole:
            return unit
        inside = used | {id(child) for child in module.children()} if id(module) in used else used
        prefix = path + "." if path else ""
        for name, child in module._modules.items():
            if child is not None:
                below = self._unit(child, prefix + name, inside, tensors)
                inner = [id(item) in inside for item in child.modules()] if below.is_layer else []
                if any(inner) or id(child) in inside or below.names:
                    unit.children[name] = below
        read = {id(value) for value in tensors.values()}
        own = {**module._parameters, **module._buffers}
        unit.tensors = {name: value for name, value in own.items() if value is not None and id(value) in read}
        for name in (*vars(module), *(key for key in tensors if not path and "." not in key)):
            if prefix + name in tensors and name not in unit.tensors and name not in unit.children:
                unit.tensors[name] = tensors[prefix + name]
        return unit

    def _state(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = {}
        for unit in _walk(self.root):
            prefix = unit.path + "." if unit.path else ""
            if unit.is_layer:
                parameters = unit.module.named_parameters(remove_duplicate=False)
                buffers = unit.module.named_buffers(remove_duplicate=False)
                state |= {prefix + name: value for name, value in (*parameters, *buffers)}
            state |= {prefix + name: value for name, value in unit.tensors.items()}
        return state

    @property
    def unused(self) -> list[str]:
        """Outermost paths of modules, parameters and buffers that no output depends on."""
        outermost = []
        for path in self.modules:
            parent = path.rpartition(".")[0]
            if path and path not in self.units and parent in self.units and not self.units[parent].is_layer:
                outermost.append(path)
        kept = [unit.path for unit in _walk(self.root) if not unit.is_layer]
        for path in self.model.state_dict():
            owner = path.rpartition(".")[0]
            if path not in self.state and owner in kept:
                outermost.append(path)
        return outermost

    def is_block(self, path: str) -> bool:
        """Tell whether `path` is a module of the user's own of which something is kept."""
        unit = self.units.get(path)
        return unit is not None and not unit.is_layer and not plain_sequential(unit.module)

    def access(self, path: str) -> str:
        """Write how a method of the model reaches a module or tensor, as in `self.layers[0].weight`."""
        unit, whole, module, done = self.root, "self", self.model, ""
        for name in path.split(".") if path else ():
            whole = unit.part(name, whole)
            done = f"{done}.{name}" if done else name
            module = module._modules.get(name) or module
            unit = unit.children.get(name) or _Unit(module, done, is_layer=True)
        return whole

    def _build(self) -> str:
        """Fill `lines` with the body of `__init__`; give the base class of the model."""
        root, lines = self.root, self.lines
        counts: dict[int, int] = {}
        for unit in _walk(root):
            counts[id(unit.module)] = counts.get(id(unit.module), 0) + 1
        self._repeated = {key for key, count in counts.items() if count > 1}
        if root.is_layer or root.kind == "Sequential":
            call = self._expression(root)
            base, _, arguments = call.partition("(")
            lines += layout("", f"super().__init__({arguments}", 8)
        else:
            base = "nn.Module"
            lines.append(" " * 8 + "super().__init__()")
            for name in root.tensors:
                if name not in self.ties:
                    self._assign(name, self._tensor(name))
            for name, child in root.children.items():
                self._assign(name, self._expression(child))
        for path, primary in self.ties.items():
            lines.append(f"        {self.access(path)} = {self.access(primary)}")
        self._freeze(root)
        if self.dtype not in (None, torch.float32):
            lines.append(f"        self.to({self.dtype})")
        return base

    def _assign(self, name: str, expression: str) -> None:
        if _is_name(name):
            self.lines += layout(f"self.{name} = ", expression, 8)
        else:
            self.lines += layout("", f"self.add_module({literal(name)}, {expression})", 8)

    def _expression(self, unit: _Unit) -> str:
        if id(unit.module) in self._shared:
            return self._shared[id(unit.module)]
        expression = self._call(unit)
        if id(unit.module) not in self._repeated:
            return expression
        taken = {*self._shared.values(), "self", "torch", "nn", "F"}
        base = unit.path.rpartition(".")[2]
        base = base if _is_name(base) else "shared"
        name = next(n for n in (base, *(f"{base}{i}" for i in range(2, 10**6))) if n not in taken)
        self._shared[id(unit.module)] = name
        self.lines += layout(f"{name} = ", expression, 8)
        return name

    def _call(self, unit: _Unit) -> str:
        if unit.is_layer:
            return constructor(unit.module, unit.path) + self._conversion(unit)
        parts: dict[str, object] = {
            name: Code(self._tensor(f"{unit.path}.{name}"))
            for name in unit.tensors
            if f"{unit.path}.{name}" not in self.ties
        }
        parts |= {name: Code(self._expression(child)) for name, child in unit.children.items()}
        values = ", ".join(map(literal, parts.values()))
        match unit.kind:
            case "Sequential" if all(name.isdigit() for name in parts):
                return f"nn.Sequential({values})"
            case "Sequential":
                return f"nn.Sequential(OrderedDict({self._keywords(parts)}))"
            case "ModuleList" | "ParameterList":
                return f"nn.{unit.kind}([{values}])"
            case "ModuleDict" | "ParameterDict":
                return f"nn.{unit.kind}({literal(parts)})"
            case _:
                return f"Block({self._keywords(parts)})"

    def _keywords(self, parts: dict[str, object]) -> str:
        if all(map(_is_name, parts)):
            return ", ".join(f"{name}={literal(value)}" for name, value in parts.items())
        return f"**{literal(parts)}"

    def _conversion(self, unit: _Unit) -> str:
        """Give a layer's dtype, where it is not that of the whole model."""
        values = [*unit.module.parameters(), *unit.module.buffers()]
        dtypes = _inexact(values)
        if self.dtype is not None or dtypes <= {torch.float32}:
            return ""
        if len(dtypes) > 1:
            raise ExportError(
                f"module {unit.path!r} ({type(unit.module).__qualname__}) mixes {sorted(map(str, dtypes))}; "
                "give the tensors of one layer one dtype"
            )
        return f".to({dtypes.pop()})"

    def _tensor(self, path: str) -> str:
        value = self.state[path]
        shape = ", ".join(map(str, value.shape)) or "()"
        plain = value.dtype in (torch.float32, self.dtype)
        empty = f"torch.empty({shape})" if plain else f"torch.empty({shape}, dtype={value.dtype})"
        if isinstance(value, nn.Parameter):
            return f"nn.Parameter({empty}{'' if value.requires_grad else ', requires_grad=False'})"
        return f"nn.Buffer({empty})" if path in self.weights else f"nn.Buffer({empty}, persistent=False)"

    def _ties(self) -> dict[str, str]:
        """Paths of tensors that are another path's tensor -> that path. Shared modules share them anyway."""
        first: dict[int, tuple[str, tuple[int, str]]] = {}
        ties = {}
        for path, value in self.state.items():
            owner, _, name = path.rpartition(".")
            home = (id(self.modules[owner]), name)
            if id(value) not in first:
                first[id(value)] = (path, home)
            elif first[id(value)][1] != home:
                ties[path] = first[id(value)][0]
        return ties

    def _freeze(self, unit: _Unit) -> None:
        """Write `requires_grad_(False)` for the outermost modules that are all frozen, or for tensors."""
        prefix = unit.path + "." if unit.path else ""
        inside = {path: value for path, value in self.state.items() if path.startswith(prefix)}
        parameters = {path: value for path, value in inside.items() if isinstance(value, nn.Parameter)}
        own = {prefix + name for name in unit.tensors}
        if all(value.requires_grad or path in own for path, value in parameters.items()):
            return
        if not any(value.requires_grad for value in parameters.values()):
            self.lines.append(f"        {self.access(unit.path)}.requires_grad_(False)")
        elif unit.is_layer:
            for path, value in parameters.items():
                if not value.requires_grad:
                    self.lines.append(f"        {self.access(path)}.requires_grad_(False)")
        else:
            for child in unit.children.values():
                self._freeze(child)

    def train_lines(self) -> list[str]:
        """Give the method that keeps modules in a mode of their own, as a frozen batch norm, if any."""
        kept = [path for path in self.modes if path in self.units and path]
        outer = [path for path in kept if self.modes.get(path.rpartition(".")[0]) != self.modes[path]]
        if not outer and "" not in self.modes:
            return []
        mode = str(self.modes.get("", "mode"))
        calls = [f"        {self.access(path)}.{'train' if self.modes[path] else 'eval'}()" for path in outer]
        head = ["    def train(self, mode=True):", f"        super().train({mode})"]
        return [*head, *calls, "        return self"]


def _walk(unit: _Unit) -> Iterator[_Unit]:
    yield unit
    for child in unit.children.values():
        yield from _walk(child)


def _inexact(tensors: Iterable[Tensor]) -> set[torch.dtype]:
    return {tensor.dtype for tensor in tensors if tensor.is_floating_point() or tensor.is_complex()}
