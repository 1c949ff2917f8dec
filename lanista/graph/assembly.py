"""The finished model of a draft: a `torch.fx.GraphModule` with the parts of the original in their places."""

from __future__ import annotations

from torch import Tensor, fx, nn

from lanista.graph.draft import Draft
from lanista.graph.trace import is_layer


def assembled(draft: Draft) -> fx.GraphModule:
    """A module that runs the graph of `draft`.

    What edits left alone is where it was, in the same order, so that the names in the state dict are those of
    the original. What they took out is not there.
    """
    return _Assembly(draft).result()


class _Assembly:
    def __init__(self, draft: Draft) -> None:
        self.model, self.draft = draft.model, draft
        nodes = draft.live
        calls = [str(node.target) for node in nodes if node.op == "call_module"]
        reads = [str(node.target) for node in nodes if node.op == "get_attr"]
        self.called = {path: draft.modules[path] for path in calls}
        self.read = {path: draft.tensors[path] for path in reads}
        self.first: dict[int, str] = {}
        for path, module in self.model.named_modules():
            self.first[id(module)] = path
        self.shells: dict[int, nn.Module] = {}

    def result(self) -> fx.GraphModule:
        root = self._shell(self.model, "")
        for path, module in self.called.items():
            parent, name = _parent(root, path)
            if parent._modules.get(name) is not module:
                parent._modules[name] = module
        for path, tensor in self.read.items():
            parent, name = _parent(root, path)
            if name not in parent._parameters and name not in parent._buffers:
                _register(parent, name, tensor, self._persistent(path))
        result = fx.GraphModule(root, self._graph(), class_name=type(self.model).__name__)
        # GraphModule copied what the graph names, in its order; the original's order and its unused parts stay.
        for table in ("_modules", "_parameters", "_buffers", "_non_persistent_buffers_set"):
            setattr(result, table, getattr(root, table))
        return result

    def _shell(self, module: nn.Module, path: str) -> nn.Module:
        """A plain module with the parts of a module that was traced through."""
        if id(module) in self.shells:
            return self.shells[id(module)]
        shell = self.shells[id(module)] = nn.Module()
        shell.training = module.training
        prefix = f"{path}." if path else ""
        for name, child in module._modules.items():
            part = None if child is None else self._part(child, prefix + name)
            if part is not None:
                shell._modules[name] = part
        for own, into in ((module._parameters, shell._parameters), (module._buffers, shell._buffers)):
            for name, tensor in own.items():
                gone = prefix + name in self.draft.original[1] and prefix + name not in self.read
                if tensor is not None and not gone:
                    into[name] = tensor  # type: ignore[assignment]
        shell._non_persistent_buffers_set = module._non_persistent_buffers_set & shell._buffers.keys()
        return shell

    def _part(self, module: nn.Module, path: str) -> nn.Module | None:
        """What is now where `module` was; None if nothing is."""
        first = self.first[id(module)]
        if first in self.called:
            now = self.called[first]
            return now if path == first or now is module else None
        if first in self.draft.original[0]:
            return None
        if is_layer(module):  # never called, as the second head of a model that is trained with one
            return module
        shell = self._shell(module, path)
        return shell if shell._modules or shell._parameters or shell._buffers else None

    def _persistent(self, path: str) -> bool:
        """Whether a tensor that was copied belongs into the state dict."""
        return isinstance(self.read[path], nn.Parameter) or path in self.draft.persistent

    def _graph(self) -> fx.Graph:
        graph = fx.Graph()
        twins: dict[fx.Node, fx.Node] = {}
        for node in self.draft.live:
            args, kwargs = fx.map_arg((node.args, node.kwargs), twins.__getitem__)
            name = str(node.meta["name"]) if node.op != "call_module" else None
            twins[node] = graph.create_node(node.op, node.target, args, kwargs, name)
        graph.lint()
        return graph


def _parent(root: nn.Module, path: str) -> tuple[nn.Module, str]:
    """The module that holds what is at `path`, made if need be, and the name there."""
    *above, name = path.split(".")
    for part in above:
        inner = root._modules.get(part)
        if inner is None:
            inner = root._modules[part] = nn.Module()
            inner.training = root.training
        root = inner
    return root, name


def _register(module: nn.Module, name: str, tensor: Tensor, persistent: bool) -> None:
    if isinstance(tensor, nn.Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor, persistent=persistent)
