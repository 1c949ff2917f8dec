"""What each aten operation does to channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from lanista.elastic.channels import Channels, Labels, Weight, slab
from lanista.elastic.operations import JOINS, MOVES, NO_CHANNELS, PARTS, PLAIN_COPIES, POOLS, REDUCTIONS
from lanista.elastic.units import WILD, spread, wild


@dataclass(frozen=True)
class Call:
    """One call of an operation.

    Attributes:
        target: the operation.
        values: its arguments by the names in its schema; labels in place of tensors.
        shape: of the result; None where that is no single tensor.
        where: words for messages: the operation and its module.
    """

    target: Any
    values: Mapping[str, Any]
    shape: tuple[int, ...] | None
    where: str

    def tensor(self, channels: Channels, name: str) -> Tensor:
        """The labels of an argument that must be a tensor."""
        return channels.plain(self.values[name], self.where)


Result: TypeAlias = Labels | Sequence[Labels]
Rule: TypeAlias = Callable[[Channels, Call], Result]


def rule(name: str, target: Any) -> Rule | None:
    """The rule for an operation, by its name without namespace and overload; None for one that is not known."""
    if name in _RULES:
        return _RULES[name]
    if name in PLAIN_COPIES:
        return lambda channels, call: next(iter(call.values.values()))
    if name in MOVES or name in ("view", "_unsafe_view"):
        return move
    if name in REDUCTIONS:
        return reduce
    if name.startswith(tuple(POOLS)):
        return pool
    if name in NO_CHANNELS:
        return lambda channels, call: wild(call.shape or ())
    if name in JOINS or torch.Tag.pointwise in getattr(target, "tags", ()):
        return join
    return rule(name[:-1], target) if name.endswith("_") else None


def join(channels: Channels, call: Call) -> Labels:
    """Element by element, with broadcasting."""
    operands = [value for value in call.values.values() if isinstance(value, Tensor | Weight)]
    if len(operands) == 1 and isinstance(operands[0], Weight):
        return channels.plain(operands[0], call.where)
    return channels.join([channels.plain(value, call.where) for value in operands], call.where)


def move(channels: Channels, call: Call) -> Result:
    """Elements change their places: do the same to the labels."""
    found = [value for value in pytree.tree_leaves(call.values, is_leaf=_is_labels) if isinstance(value, Weight)]
    if not found:
        return _moved(channels, call, call.values)
    if len(found) > 1 or len(pytree.tree_leaves(call.values.get("tensors", 0))) > 1:
        values = {
            name: pytree.tree_map(lambda v: channels.plain(v, call.where) if _is_labels(v) else v, value)
            for name, value in call.values.items()
        }
        return _moved(channels, call, values)
    parts = []
    for grid in found[0].grids:
        values = {name: grid if isinstance(value, Weight) else value for name, value in call.values.items()}
        parts.append(_apply(call, values))
    if isinstance(parts[0], Tensor):
        return Weight(tuple(parts))
    return [Weight(tuple(grids)) for grids in zip(*parts, strict=True)]


def _moved(channels: Channels, call: Call, values: Mapping[str, Any]) -> Result:
    result = _apply(call, values)
    if isinstance(result, Tensor):
        return spread(result)
    name = call.target._schema.name.partition("::")[2]
    parts = [spread(part) for part in result]
    if name in PARTS and len({part.shape for part in parts}) == 1 and call.shape is None:
        for part in parts[1:]:
            # Equal parts stay equal: the code says how many there are, not how large they are.
            channels.units.tie(part, parts[0])
    return parts


def _apply(call: Call, values: Mapping[str, Any]) -> Any:
    name = call.target._schema.name.partition("::")[2]
    if name in ("view", "_unsafe_view"):
        return values["self"].reshape(call.shape)
    return call.target(**values)


def _is_labels(value: object) -> bool:
    return isinstance(value, Tensor | Weight)


def cat(channels: Channels, call: Call) -> Result:
    """Tensors one after the other: what differs along other dimensions must be cut alike in all of them."""
    parts = [channels.plain(value, call.where) for value in call.values["tensors"]]
    parts = [part for part in parts if part.ndim == len(call.shape or ())]  # cat passes over empty lists
    dim = call.values.get("dim", 0)
    if parts and not any(channels.units.varies(part, dim) for part in parts):
        channels.join([part.narrow(dim, 0, 1) for part in parts if part.shape[dim]], call.where)
    return _moved(channels, call, {**call.values, "tensors": parts})


def linear(channels: Channels, call: Call) -> Labels:
    """`input @ weight.T + bias`."""
    return _multiply(channels, call, call.tensor(channels, "input"), call.values["weight"], 1, call.values.get("bias"))


def matmul(channels: Channels, call: Call) -> Labels:
    """`matmul`, `mm`, `bmm`."""
    one, other = list(call.values.values())[:2]
    return _product(channels, call, one, other)


def addmm(channels: Channels, call: Call) -> Labels:
    """`self + mat1 @ mat2`."""
    names = ("batch1", "batch2") if "batch1" in call.values else ("mat1", "mat2")
    one, other = (call.values[name] for name in names)
    if isinstance(other, Weight):
        return _multiply(channels, call, channels.plain(one, call.where), other, 0, call.values["self"])
    product = channels.plain(_product(channels, call, one, other), call.where)
    return channels.join([product, call.tensor(channels, "self")], call.where)


def _product(channels: Channels, call: Call, one: Labels, other: Labels) -> Labels:
    if isinstance(other, Weight) and other.grids[0].ndim == 2:
        return _multiply(channels, call, channels.plain(one, call.where), other, 0, None)
    first, second = (channels.plain(value, call.where) for value in (one, other))
    if first.ndim < 2 or second.ndim < 2:
        return unknown(channels, call)
    return channels.product(first, second, call.where)


def _multiply(channels: Channels, call: Call, inputs: Tensor, weight: Labels, dim: int, bias: Labels | None) -> Labels:
    """Multiply by a matrix whose dimension `dim` goes with the last one of the inputs."""
    rows = weight.axis(dim) if isinstance(weight, Weight) else None
    made = weight.axis(1 - dim) if isinstance(weight, Weight) else None
    assert call.shape is not None
    if rows is None or made is None:
        channels.fix(weight, f"{call.where} computes its weight")
        channels.fix(inputs, f"{call.where} computes its weight")
        return wild(call.shape)
    alike = channels.contract(inputs, -1, rows, call.where)
    if alike is not None:
        channels.fix(made, "it mixes positions, not channels")
        channels.fix(bias, "it mixes positions, not channels")
        return alike.expand(call.shape)
    channels.make(made)
    if bias is not None:
        channels.join([made, channels.plain(bias, call.where)], call.where)
    return made.expand(call.shape)


def conv(channels: Channels, call: Call) -> Labels:
    """Convolutions of any dimension, grouped or not, transposed or not."""
    weight, bias = call.values["weight"], call.values.get("bias")
    inputs = call.tensor(channels, "input")
    assert call.shape is not None
    transposed = "transpose" in call.where.partition(" ")[0]
    ins, made = (
        (weight.axis(d) for d in ((0, 1) if transposed else (1, 0))) if isinstance(weight, Weight) else (None,) * 2
    )
    if ins is None or made is None:
        channels.fix(weight, f"{call.where} computes its weight")
        channels.fix(inputs, f"{call.where} computes its weight")
        return wild(call.shape)
    dim = inputs.ndim - weight.grids[0].ndim + 1
    groups = call.values.get("groups", 1)
    if any(n != dim for n in channels.units.varying(inputs)):
        for labels in (inputs, weight, bias):
            channels.fix(labels, "it mixes positions, not channels")
        return wild(call.shape)
    if groups == 1:
        channels.contract(inputs, dim, ins, call.where)
    else:
        made = _grouped(channels, slab(inputs, dim), ins, made, groups, transposed, call.where)
    channels.make(made)
    if bias is not None:
        channels.join([made, channels.plain(bias, call.where)], call.where)
    view = [-1 if n == dim else 1 for n in range(len(call.shape))]
    return made.view(view).expand(call.shape)


def _grouped(
    channels: Channels, inputs: Tensor, ins: Tensor, made: Tensor, groups: int, transposed: bool, where: str
) -> Tensor:
    """Tie what is inside of each group, and give the labels of the output."""
    size = len(inputs) // groups
    if size > 1:
        channels.units.merge(inputs.reshape(groups, size), 1)
    channels.fix(made if transposed else ins, "it counts the channels inside of each group")
    group = inputs.reshape(groups, size)[:, 0]
    if transposed:
        channels.units.tie(inputs, ins)
        channels.fix(ins[inputs == WILD], "its input is the model's input, or of fixed size")
        return group.repeat_interleave(len(made))
    outputs = made.reshape(groups, -1)
    channels.units.merge(outputs, 1)
    channels.units.tie(group, outputs[:, 0])
    channels.fix(outputs[group == WILD], "its input is the model's input, or of fixed size")
    return made


def channel_norm(channels: Channels, call: Call) -> Labels:
    """Batch and instance norm: each channel by itself, along dimension 1."""
    inputs = call.tensor(channels, "input")
    view = (-1, *[1] * (inputs.ndim - 2))
    for name in ("weight", "bias", "running_mean", "running_var"):
        if isinstance(call.values.get(name), Tensor):
            inputs = channels.join([inputs, call.values[name].view(view)], call.where)
    return inputs


def prelu(channels: Channels, call: Call) -> Labels:
    """One slope for all, or one for each channel, along dimension 1."""
    inputs, slopes = call.tensor(channels, "self"), call.tensor(channels, "weight")
    if slopes.numel() == 1:
        return inputs
    return channels.join([inputs, slopes.reshape(-1, *[1] * (inputs.ndim - 2))], call.where)


def glu(channels: Channels, call: Call) -> Labels:
    """One half gates the other."""
    one, other = call.tensor(channels, "self").chunk(2, call.values.get("dim", -1))
    return channels.join([one, other], call.where)


def layer_norm(channels: Channels, call: Call) -> Labels:
    """Layer and RMS norm: over the last dimensions."""
    operands = [
        call.tensor(channels, name) for name in ("input", "weight", "bias") if _is_labels(call.values.get(name))
    ]
    return channels.join(operands, call.where)


def group_norm(channels: Channels, call: Call) -> Labels:
    """Channels in groups, along dimension 1."""
    inputs = call.tensor(channels, "input")
    groups = call.values["num_groups"]
    others = [dim for dim in channels.units.varying(inputs) if dim != 1]
    if others:
        channels.fix(inputs, f"{call.where} has channels along other dimensions")
    if groups > 1:
        channels.units.merge(slab(inputs, 1).reshape(groups, -1), 1)
    return channel_norm(channels, call)


def pool(channels: Channels, call: Call) -> Result:
    """Operations on the positions of each channel; channels are dimension 1."""
    inputs = call.tensor(channels, next(iter(call.values)))
    if call.shape is None or any(dim != 1 for dim in channels.units.varying(inputs)) or inputs.ndim != len(call.shape):
        return unknown(channels, call)
    if inputs.shape[1] != call.shape[1]:
        return unknown(channels, call)
    return slab(inputs, 1).view(1, -1, *[1] * (inputs.ndim - 2)).expand(call.shape)


def pad(channels: Channels, call: Call) -> Result:
    """Padding. New channels are constants; new positions have the channels that are there."""
    inputs = call.tensor(channels, "self")
    if call.values.get("mode", "constant") != "constant":
        return pool(channels, call)
    assert call.shape is not None
    pads = list(call.values["pad"])
    for dim, (before, after) in zip(
        reversed(range(inputs.ndim)), zip(pads[::2], pads[1::2], strict=True), strict=False
    ):
        if channels.units.varies(inputs, dim):
            around = [0, 0] * (inputs.ndim - 1 - dim) + [before, after]
            inputs = torch.nn.functional.pad(inputs, around, value=WILD)
        else:
            sizes = [*inputs.shape[:dim], call.shape[dim], *inputs.shape[dim + 1 :]]
            inputs = inputs.narrow(dim, 0, 1).expand(sizes)
    return spread(inputs)


def pixel_shuffle(channels: Channels, call: Call) -> Result:
    """Blocks of channels become positions of one channel."""
    inputs = call.tensor(channels, "self")
    blocks = slab(inputs, inputs.ndim - 3).reshape(-1, call.values["upscale_factor"] ** 2)
    channels.units.merge(blocks, 1)
    assert call.shape is not None
    return blocks[:, 0, None, None].expand(call.shape)


def reduce(channels: Channels, call: Call) -> Result:
    """Sums, means, extrema."""
    inputs = call.tensor(channels, next(iter(call.values)))
    dims = call.values.get("dim")
    dims = list(range(inputs.ndim)) if dims is None or dims == [] else [dims] if isinstance(dims, int) else list(dims)
    result = channels.reduce(inputs, [dim % inputs.ndim for dim in dims], keep=call.values.get("keepdim", False))
    return result if call.shape is not None else [result, result]


def attention(channels: Channels, call: Call) -> Labels:
    """Scaled dot products: queries (..., heads, n, d), keys and values (..., heads, m, d)."""
    units = channels.units
    query, key, value = (call.tensor(channels, name) for name in ("query", "key", "value"))
    for labels in (query, key, value):
        units.merge(labels, labels.ndim - 1)
    heads = query[..., :1, :1]
    for labels in (key, value):
        repeats = query.shape[-3] // labels.shape[-3] if query.ndim > 3 else 1
        ours = labels[..., :1, :1]
        channels.join([heads, ours.repeat_interleave(repeats, -3) if repeats > 1 else ours], call.where)
    mask = call.values.get("attn_mask")
    if isinstance(mask, Tensor | Weight):
        channels.join([heads.expand(*query.shape[:-1], key.shape[-2]), channels.plain(mask, call.where)], call.where)
    channels.heads.append(heads)
    assert call.shape is not None
    return heads.expand(call.shape)


def embedding(channels: Channels, call: Call) -> Labels:
    """Rows of a table; each row has all channels."""
    table = call.values["weight"]
    made = table.axis(1) if isinstance(table, Weight) else None
    assert call.shape is not None
    if made is None:
        return unknown(channels, call)
    channels.fix(table.axis(0), "it has one row for each index")
    channels.make(made)
    return made.expand(call.shape)


def pick(channels: Channels, call: Call) -> Result:
    """`index_select` and `gather`: positions that depend on data."""
    labels = call.tensor(channels, "self")
    dim = call.values["dim"] % max(labels.ndim, 1)
    if call.shape is None or not _alike(channels, labels, [dim]):
        return unknown(channels, call)
    small = labels.narrow(dim, 0, 1)
    small = small[tuple(slice(0, size) for size in call.shape)]  # gather may leave out some
    return small.expand(call.shape)


def index(channels: Channels, call: Call) -> Result:
    """Indexing by tensors."""
    labels = call.tensor(channels, "self")
    indices = [None if value is None else channels.plain(value, call.where) for value in call.values["indices"]]
    if not _alike(channels, labels, [dim for dim, value in enumerate(indices) if value is not None]):
        return unknown(channels, call)
    first = [None if value is None else torch.zeros(value.shape, dtype=torch.long) for value in indices]
    result = torch.ops.aten.index.Tensor(labels, first)
    return spread(result) if tuple(result.shape) == call.shape else unknown(channels, call)


def _alike(channels: Channels, labels: Tensor, dims: Sequence[int]) -> bool:
    """Whether positions along the dimensions belong to the same channels, after tying where they can."""
    varying = channels.units.varying(labels)
    picked = [dim for dim in dims if dim in varying]
    if len(picked) == len(varying) and picked:
        return False
    for dim in picked:
        channels.units.merge(labels, dim)
    return True


def einsum(channels: Channels, call: Call) -> Labels:
    """Two operands, without ellipsis and without repeated letters, as a matrix product."""
    inputs, _, output = call.values["equation"].replace(" ", "").partition("->")
    names = inputs.split(",")
    operands = [channels.plain(value, call.where) for value in call.values["tensors"]]
    if len(names) != 2 or "." in inputs or not output or any(len(set(name)) < len(name) for name in names):
        return unknown(channels, call)
    one, other = names
    groups = [
        [c for c in one if c in other and c in output],
        [c for c in one if c not in other and c in output],
        [c for c in one if c in other and c not in output],
        [c for c in other if c not in one and c in output],
    ]
    if sum(map(len, groups)) != len(set(one + other)):
        return unknown(channels, call)
    batch, rows, summed, columns = groups
    sizes = {
        c: n for name, labels in zip(names, operands, strict=True) for c, n in zip(name, labels.shape, strict=True)
    }

    def matrix(labels: Tensor, name: str, left: list[str], right: list[str]) -> Tensor:
        moved = labels.permute([name.index(c) for c in (*batch, *left, *right)])
        shapes = [[sizes[c] for c in part] for part in (batch, left, right)]
        return spread(moved.reshape(*shapes[0], prod(shapes[1]), prod(shapes[2])))

    found = channels.product(
        matrix(operands[0], one, rows, summed), matrix(operands[1], other, summed, columns), call.where
    )
    found = found.reshape([sizes[c] for c in (*batch, *rows, *columns)])
    order = [*batch, *rows, *columns]
    return spread(found.permute([order.index(c) for c in output]))


def unknown(channels: Channels, call: Call) -> Labels:
    """An operation that nothing is known about: all channels that go into it stay."""
    for value in pytree.tree_leaves(dict(call.values), is_leaf=_is_labels):
        if _is_labels(value):
            channels.fix(value, f"{call.where} cannot be followed")
    return wild(call.shape or ())


_RULES: dict[str, Rule] = {
    "cat": cat,
    "linear": linear,
    "matmul": matmul,
    "mm": matmul,
    "bmm": matmul,
    "addmm": addmm,
    "baddbmm": addmm,
    "einsum": einsum,
    **dict.fromkeys(["conv1d", "conv2d", "conv3d", "convolution"], conv),
    **dict.fromkeys(["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"], conv),
    "batch_norm": channel_norm,
    "instance_norm": channel_norm,
    "prelu": prelu,
    "glu": glu,
    "layer_norm": layer_norm,
    "rms_norm": layer_norm,
    "group_norm": group_norm,
    "pad": pad,
    "pixel_shuffle": pixel_shuffle,
    "constant_pad_nd": pad,
    "scaled_dot_product_attention": attention,
    "embedding": embedding,
    "index_select": pick,
    "gather": pick,
    "index": index,
}
