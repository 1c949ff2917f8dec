"""`Flow`: the channels of a traced model, followed from layer to layer."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

from lanista.elastic.channels import Channels, Labels, Weight
from lanista.elastic.operations import STRUCTURED, WEIGHT_MOVES
from lanista.elastic.rules import Call, rule, unknown
from lanista.elastic.trace import Traced, operation, place, shape
from lanista.elastic.units import WILD, spread, wild

INPUTS = frozenset({"input", "self", "mat1", "indices"})

MOST_PASSES = 12


@dataclass(frozen=True)
class Flow:
    """Which channels of a model belong together.

    Attributes:
        channels: the classes, and the labels of all weights.
        labels: for each operation, the labels of its result.
        used: the names of the weights that the forward pass uses.
        names: for each name of a weight, the first name of the same weight.
    """

    channels: Channels
    labels: Mapping[Node, Tensor]
    used: frozenset[str]
    names: Mapping[str, str]


def follow(traced: Traced, model: nn.Module, coupled: Collection[tuple[str, int]] = ()) -> Flow:
    """Follow the channels of a traced model through all its operations, until nothing new is tied.

    Args:
        traced: the forward pass.
        model: what was traced.
        coupled: weights, each with its output dimension, of attention whose code needs as many channels inside as
            outside: each channel of a query is tied to one of the input.
    """
    names = _tied(model)
    weights = {node: names.get(name, name) for node, name in traced.weights.items()}
    with torch.device("cpu"):
        channels = Channels()
    modes: dict[str, bool] = {}
    for node, name in weights.items():
        modes[name] = modes.get(name, True) and _structured(node)
    found: dict[Node, Tensor] = {}
    with torch.device("cpu"), torch.no_grad():
        for _ in range(MOST_PASSES):
            before = channels.units.state()
            channels.heads.clear()
            channels.made.clear()
            values = _walk(traced, weights, modes, channels)
            found = {node: value for node, value in values.items() if isinstance(value, Tensor)}
            _attention_modules(model, channels)
            for name, dim in coupled:
                inputs = channels.axes[name, 1 - dim]
                for part in channels.axes[name, dim].view(-1, len(inputs)):
                    channels.units.tie(part, inputs)
            if not _straighten(channels, found) and torch.equal(before, channels.units.state()):
                break
    used = frozenset(name for node, name in weights.items() if node.users)
    return Flow(channels, {node: value for node, value in found.items() if node.op == "call_function"}, used, names)


def _tied(model: nn.Module) -> dict[str, str]:
    """For each name of a weight, the first name of the same weight."""
    first: dict[int, str] = {}
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return {name: first.setdefault(id(value), name) for name, value in named}


def _structured(node: Node) -> bool:
    """Whether all uses of a weight tell its dimensions apart."""
    for user in node.users:
        if user.target is operator.getitem:
            fine = _structured(user)
        else:
            name = operation(user).rpartition(".")[2]
            if name in WEIGHT_MOVES:
                fine = _structured(user)
            else:
                fine = name in STRUCTURED and all(
                    key not in INPUTS for key, value in _bound(user).items() if value is node
                )
        if not fine:
            return False
    return True


def _bound(node: Node) -> dict[str, Any]:
    """The arguments of a call by name."""
    schema = node.target._schema  # type: ignore[union-attr]
    names = [argument.name for argument in schema.arguments]
    return {**dict(zip(names, node.args, strict=False)), **node.kwargs}


def _walk(
    traced: Traced, weights: Mapping[Node, str], modes: Mapping[str, bool], channels: Channels
) -> dict[Node, Any]:
    values: dict[Node, Any] = {}
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            size = shape(node)
            if node in weights and size is not None:
                values[node] = channels.weight(weights[node], size, structured=modes[weights[node]])
            else:
                values[node] = wild(size or ())
        elif node.op == "get_attr":  # the body of a higher-order operation
            values[node] = wild(())
        elif node.op == "call_function":
            values[node] = _called(node, values, channels)
        elif node.op == "output":
            for result in node.all_input_nodes:
                for labels in _flat(values[result]):
                    channels.fix(labels, "its channels are an output of the model")
    return values


def _called(node: Node, values: Mapping[Node, Any], channels: Channels) -> Any:
    if node.target is operator.getitem:
        source, position = node.args
        return values[source][position]  # type: ignore[index]
    name = operation(node)
    value = node.meta.get("val")
    where = f"{name} in {place(node) or 'the model itself'}"
    if value is None:
        return wild(())  # an assertion
    if hasattr(node.target, "_schema"):
        bound = torch.fx.node.map_arg(_bound(node), lambda argument: values[argument])
        call = Call(node.target, bound, shape(node), where)
        found = rule(name.rpartition(".")[2], node.target)
        try:
            result = unknown(channels, call) if found is None else found(channels, call)
        except (IndexError, KeyError, RuntimeError, TypeError, ValueError):  # an argument that no rule expects
            result = None
        if _fits(result, value):
            return result
    for source in node.all_input_nodes:
        for labels in _flat(values[source]):
            channels.fix(labels, f"{where} cannot be followed")
    return [wild(part.shape) for part in value] if isinstance(value, list | tuple) else wild(shape(node) or ())


def _fits(result: Any, value: object) -> bool:
    if isinstance(value, list | tuple):
        return isinstance(result, list | tuple) and len(result) >= len(value)
    if isinstance(result, Weight):
        result = result.grids[0]
    return not isinstance(value, Tensor) or (isinstance(result, Tensor) and result.shape == value.shape)


def _flat(value: Any) -> Sequence[Labels]:
    return value if isinstance(value, list | tuple) else [value]


def _attention_modules(model: nn.Module, channels: Channels) -> None:
    """`torch.nn.MultiheadAttention` needs as many channels inside as outside: tie each query channel to an input's."""
    for path, module in model.named_modules():
        if not isinstance(module, nn.MultiheadAttention):
            continue
        prefix = f"{path}." if path else ""
        packed = channels.axes.get((f"{prefix}in_proj_weight", 0))
        inputs = channels.axes.get((f"{prefix}in_proj_weight", 1))
        if packed is None or inputs is None:
            for part in ("q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"):
                for dim in (0, 1):
                    channels.fix(
                        channels.axes.get((f"{prefix}{part}", dim)),
                        "torch.nn.MultiheadAttention with other sizes for keys or values keeps its size",
                    )
            continue
        for third in packed.view(3, -1):
            channels.units.tie(third, inputs)
        channels.units.tie(channels.axes[f"{prefix}out_proj.weight", 0], inputs)
        channels.units.merge(inputs.view(module.num_heads, -1), 1)


def _straighten(channels: Channels, found: Mapping[Node, Tensor]) -> bool:
    """Tie what cannot be removed alone: tensors must stay boxes. Says whether anything was tied."""
    units = channels.units
    changed = False
    for node, labels in found.items():
        varying = units.varying(labels)
        if len(varying) < 2:
            continue
        changed = True
        if bool((labels == WILD).any()):
            channels.fix(labels, f"{operation(node)} in {place(node)} puts it beside a tensor of fixed size")
        else:
            # A dimension that was split: the outer part is a number that the code knows, the inner one follows.
            units.merge(spread(labels), varying[0])
    return changed
