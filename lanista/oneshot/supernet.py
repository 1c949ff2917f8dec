"""`Supernet`: the weights that all models of a space share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lanista.errors import OneShotError
from lanista.evaluator.base import Weights
from lanista.model import ModelSpace
from lanista.oneshot.binding import Bound, Moored, bind, flatten, owned
from lanista.oneshot.catalogue import catalogue
from lanista.oneshot.identity import Key, Path, Slot, slots
from lanista.oneshot.slices import Layout, Part, window
from lanista.oneshot.survey import Survey, survey
from lanista.space.domain import Architecture, Value
from lanista.space.probe import UNBUILDABLE

K = TypeVar("K", bound=Path)


@dataclass(frozen=True)
class Shared:
    """A tensor that models share.

    Attributes:
        name: under which the supernet has it.
        shape: the greatest size of each dimension.
        layout: how smaller models cut it.
    """

    name: str
    shape: tuple[int, ...]
    layout: Layout


class Supernet(Weights):
    """Weights for every model of a space: the widest tensors, of which each model uses a part.

    `path` gives the plain model of an architecture, whose parameters and buffers are the shared tensors or slices of
    them: training it trains the supernet. Which tensors two models share follows from where they stand and which
    candidates they belong to; of tensors that differ in size, the smaller one is the leading slice of each dimension,
    the middle of a convolution's window, or the leading slice of each gate, or of query, key and value.

    It is a module for its parameters only: `parameters()`, `to`, `train`, `state_dict`. The weights are drawn as the
    models' constructors draw them, from torch's global generator.

    Buffers that a constructor computes from the architecture, such as position indices or drop-path rates, are not
    shared: each path has its own, unless a training pass on the space's example input changes them. So have plain
    attributes, which are part of no state: tensors that are drawn at random are the same in each path of one
    architecture, and not those that `space.build` would draw; and what is computed from weights, such as their
    deviation, is that of some random weights, not of the shared ones.

    Args:
        space: the models.
        include: architectures whose tensors there must be, beside those that are found by trying: all candidates of
            all decisions, the extremes, and random ones.

    Attributes:
        space: as given.

    Raises:
        OneShotError: a model has parameters without a shape (lazy modules that have not seen data).
    """

    def __init__(self, space: ModelSpace, *, include: Iterable[Mapping[str, Value]] = ()) -> None:
        super().__init__()
        self.space = space
        self._common: dict[str, str] = {}
        found = survey(space, [space.decisions.validate(architecture) for architecture in include], self)
        self._private, self._common = found.private, found.common
        self._plans = [plan for plan, _ in sorted(found.cover, key=lambda entry: -len(entry[1]))]
        self._shared = _named(found)
        self._fill(found)

    def path(self, architecture: Mapping[str, Value]) -> nn.Module:
        """The plain model of an architecture, bound to the shared tensors.

        It is in the supernet's mode (`train` or `eval`). Gradients arrive in the supernet's parameters, running
        statistics in its buffers, and it sees what an optimizer does to them. Give `supernet.parameters()` to
        optimizers, not the path's, and move the supernet, not the path; use `inherit` for a model of its own.

        Args:
            architecture: in any form that `SearchSpace.validate` reads.

        Raises:
            ArchitectureError: it does not fit the space.
            OneShotError: it has a tensor that no surveyed model had; give it to `Supernet(include=[...])`.
        """
        model, context = self.skeleton(self.space.decisions.validate(architecture), Path)
        self.bind(model, context)
        vars(model)["_apply"] = Moored(model)
        return model.train(self.training)

    def inherit(self, architecture: Mapping[str, Value]) -> nn.Module:
        """The plain model of an architecture with a copy of its part of the shared weights.

        It needs nothing of the supernet, and is in training mode.

        Raises:
            ArchitectureError, OneShotError: as `path`.
        """
        model, context = self.skeleton(self.space.decisions.validate(architecture), Path)
        known: dict[int, Tensor] = {}
        for slot in slots(model, context):
            original = slot.tensor
            if id(original) not in known:
                part = self._part(slot)
                value = original.to(self.device) if part is None else owned(part.read(), original)
                if isinstance(original, nn.Parameter):
                    value = nn.Parameter(value, requires_grad=original.requires_grad)
                known[id(original)] = value
            slot.table[slot.name] = known[id(original)]
        for module in model.modules():
            if isinstance(module, nn.RNNBase):
                flatten(module)
        return model

    def catalogue(self) -> nn.Module:
        """All parameters in modules like those that they are of, under their names; it cannot be run.

        It is a model with all options at once, as far as there is one, in which stands, too, what only others have.
        """

        def shared(slot: Slot) -> Tensor | None:
            part = self._part(slot)
            return None if part is None else part.tensor

        plans = self._plans or [(self.space.decisions.default(), Path)]
        return catalogue((self.skeleton(*plan) for plan in plans), shared)

    @property
    def device(self) -> torch.device:
        """Where the shared tensors are."""
        tensors = chain(self._parameters.values(), self._buffers.values())
        return next((tensor.device for tensor in tensors if tensor is not None), torch.device("cpu"))

    @property
    def example(self) -> tuple[Any, ...] | None:
        """The space's example input as positional inputs, on the device and in the precision of the weights, if any."""
        given = self.space.example_input
        if given is None:
            return None
        kind = next((tensor.dtype for tensor in self.parameters() if tensor.is_floating_point()), torch.float32)
        return tuple(
            value.to(self.device, kind if value.is_floating_point() else None) if isinstance(value, Tensor) else value
            for value in (given if isinstance(given, tuple) else (given,))
        )

    def forward(self, *_: Any) -> Any:
        """There is no one model to run; raises OneShotError."""
        raise OneShotError("a supernet is many models; run one of them: supernet.path(architecture)(inputs)")

    def bind(self, model: nn.Module, context: Path) -> None:
        """Let a model that was built by this space's questions use the shared tensors.

        Args:
            model: as built.
            context: that answered while it was built.

        Raises:
            OneShotError: it has a tensor that no surveyed model had.
        """
        first: dict[int, Slot] = {}
        own = {id(tensor) for tensor in (*self.parameters(), *self.buffers())}
        tables: dict[tuple[int, bool], tuple[nn.Module, dict[str, Part]]] = {}
        for slot in slots(model, context):
            original = slot.tensor
            if id(original) in own:
                continue
            part = self._part(first.setdefault(id(original), slot))
            if part is None:
                if original.device != self.device:
                    slot.table[slot.name] = original.to(self.device)
            elif part.whole and not part.fixed and not slot.buffer:
                slot.table[slot.name] = part.tensor
            else:
                _, parts = tables.setdefault((id(slot.module), slot.buffer), (slot.module, {}))
                parts[slot.name] = part
        for (_, buffers), (module, parts) in tables.items():
            bind(module, parts, buffers=buffers)
        for module in model.modules():
            if isinstance(module, nn.RNNBase) and not isinstance(module._parameters, Bound):
                flatten(module)

    def skeleton(self, architecture: Architecture, kind: type[K]) -> tuple[nn.Module, K]:
        """A model whose weights are not filled, and the context that answered while it was built.

        torch's generator is left as it was; what a constructor draws beside weights is the same in each model.
        `kind` is the context's class; the architecture is canonical, and may have more labels.
        """
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            try:
                torch.default_generator.manual_seed(0)  # the CPU's alone: others are not put back
                with _Unfilled():
                    return self.model(architecture, kind)
            except (_Read, *UNBUILDABLE):  # a constructor that computes something of its weights
                torch.default_generator.manual_seed(0)
                return self.model(architecture, kind)

    def model(self, architecture: Architecture, kind: type[K]) -> tuple[nn.Module, K]:
        """The same with weights, drawn from torch's generator."""
        with torch.enable_grad(), self.space.answers(architecture, kind) as context:
            model = self.space.create()
        known = cast(K, context)
        known.common = self._common
        return model, known

    def _part(self, slot: Slot) -> Part | None:
        """What a place takes; None where each model has its own."""
        if slot.key in self._private:
            return None
        shared, shape = self._shared.get(slot.key), tuple(slot.tensor.shape)
        if shared is None or any(size > most for size, most in zip(shape, shared.shape, strict=True)):
            known = "none" if shared is None else f"{shared.shape}"
            raise OneShotError(
                f"the model of this architecture has {slot.key.path!r} of shape {shape}, and the supernet has {known}: "
                "no model like it was met when the supernet was made; name it then: Supernet(space, "
                "include=[architecture])"
            )
        fixed = isinstance(slot.tensor, nn.Parameter) and not slot.tensor.requires_grad
        fixed = fixed and getattr(self, shared.name).requires_grad
        return Part(self, shared.name, shape, shared.layout, fixed, slot.entries)

    def _fill(self, found: Survey) -> None:
        """Take the initial values from models that were built for real."""
        for plan, wanted in found.cover:
            model, context = self.model(*plan)
            for slot in slots(model, context):
                if slot.key in wanted:
                    wanted.remove(slot.key)
                    self._add(self._shared[slot.key], slot.tensor, slot.key in found.learns)
            assert not wanted, wanted

    def _add(self, shared: Shared, tensor: Tensor, learns: bool) -> None:
        value = tensor.detach()
        if not isinstance(tensor, nn.Parameter):
            self.register_buffer(shared.name, _grown(value, shared).clone())
        elif value.shape == shared.shape:
            tensor.requires_grad_(learns)
            self.register_parameter(shared.name, tensor)
        else:  # no model has all dimensions at their greatest
            self.register_parameter(shared.name, nn.Parameter(_grown(value, shared), learns))


def _grown(value: Tensor, shared: Shared) -> Tensor:
    """A tensor of the greatest shape whose part is `value`, and whose rest has the same mean and deviation."""
    if value.shape == shared.shape:
        return value
    whole = value.new_empty(shared.shape)
    if value.is_floating_point() and value.numel() > 1:
        whole.normal_(float(value.mean()), float(value.std()))
    else:
        whole.fill_(value.flatten()[0] if value.numel() else 0)
    part = window(whole, value.shape, shared.layout)
    part.copy_(value.reshape(part.shape))
    return whole


def _named(found: Survey) -> dict[Key, Shared]:
    """A name for each shared tensor: its path, and where tensors of several kinds have one path, the kind.

    With a slash in front, so that no name is that of an attribute of the supernet.
    """
    paths: dict[str, int] = {}
    for key in found.shapes:
        paths[key.path] = paths.get(key.path, 0) + 1
    return {
        key: Shared(
            ("/" + key.path + ("" if paths[key.path] == 1 else f":{key.kind}:{key.ndim}")).replace(".", "/"),
            shape,
            found.layouts[key],
        )
        for key, shape in found.shapes.items()
    }


RANDOM = frozenset(
    {
        "kaiming_normal_",
        "kaiming_uniform_",
        "normal_",
        "orthogonal_",
        "sparse_",
        "trunc_normal_",
        "uniform_",
        "xavier_normal_",
        "xavier_uniform_",
    }
)
"""Methods that fill weights with random numbers, which nobody needs where they are replaced."""


READS = frozenset({"item", "tolist", "numpy", "__bool__", "__float__", "__int__"})
"""Methods that make plain numbers of tensors."""


class _Read(Exception):
    """A constructor asks for the value of something that was computed from weights."""


class _Unfilled(TorchFunctionMode):
    """Leaves weights as memory was: constructors are quick, and what they compute otherwise is right.

    Tensors that are no parameters are filled: nobody may replace them.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", None)
        if name in RANDOM:
            tensor = args[0] if args else kwargs["tensor"]
            if isinstance(tensor, nn.Parameter):
                # `nn.init.trunc_normal_` draws again until all numbers are within its bounds (torch 2.13).
                return tensor.zero_() if func is Tensor.normal_ else tensor
        elif name in READS and args and args[0].requires_grad:
            raise _Read
        return func(*args, **(kwargs or {}))
