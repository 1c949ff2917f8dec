"""Constructors: the call that builds a given torch.nn module, recovered from its attributes and verified."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.lazy import LazyModuleMixin

from lanista.errors import ExportError
from lanista.export.literal import Code, literal

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
_COSMETIC = {
    "__init__",
    "__doc__",
    "__module__",
    "__repr__",
    "__annotations__",
    "extra_repr",
    "reset_parameters",
}
_BOOKKEEPING = {"training", "_parameters", "_buffers", "_modules", "_flat_weights", "_flat_weight_refs"}
_WAY_OUT = "write it as a module of your own with a traceable forward, or undo what was changed after construction"
_SCOPE = {"nn": nn, "torch": torch, "F": functional}


def layer(module: nn.Module) -> type[nn.Module] | None:
    """Give the torch.nn class that `module` behaves as, or None if its own forward has to be traced.

    That is its class, or the nearest torch.nn base of a class that only adds a constructor. Containers are
    not layers.
    """
    if isinstance(module, _CONTAINERS):
        return None
    for cls in type(module).__mro__:
        if cls is nn.Module or cls.__module__.startswith("torch.nn.parallel"):
            return None
        if cls.__module__.startswith("torch.nn."):
            return cls if getattr(nn, cls.__name__, None) is cls and cls is not nn.Container else None
        if any(callable(item) and name not in _COSMETIC for name, item in vars(cls).items()):
            return None
    return None


def chain(module: nn.Module) -> bool:
    """Tell whether `module` is a Sequential of layers and such Sequentials only, so that one call runs it."""
    return plain_sequential(module) and all(layer(child) or chain(child) for child in module.children())


def plain_sequential(module: nn.Module) -> bool:
    """Tell whether `module` is a Sequential, or a subclass of it with the same forward."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def constructor(module: nn.Module, path: str) -> str:
    """Write the call that builds a layer like `module`, as in `nn.Conv2d(3, 16, 3, bias=False)`.

    Weights, dtype, device and `requires_grad` are not part of it.

    Args:
        module: a module for which `layer` gives a class.
        path: where it is in the model, for messages.

    Raises:
        ExportError: the call cannot be recovered, or builds something else than `module`.
    """
    cls = layer(module)
    if cls is None:
        raise ExportError(f"{_who(module, path)} is not a layer of torch.nn; {_WAY_OUT}")
    if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
        raise ExportError(f"{_who(module, path)} has no shape yet; run the model once before exporting it")
    try:
        arguments = _arguments(module, cls, path)
        short = _call(cls, {name: _collapsed(value) for name, value in arguments.items()})
        difference = _difference(short, module)
        if difference is None:
            return short
        exact = _call(cls, arguments)
        difference = _difference(exact, module)
        if difference is None:
            return exact
    except ExportError as error:
        raise ExportError(f"{_who(module, path)} cannot be written as a constructor: {error}; {_WAY_OUT}") from error
    raise ExportError(f"{_who(module, path)} is not what {exact} builds: {difference}; {_WAY_OUT}")


def _who(module: nn.Module, path: str) -> str:
    return f"module {path or '(the model)'!r} ({type(module).__module__}.{type(module).__qualname__})"


def _collapsed(value: object) -> object:
    """`(3, 3)` as 3: how convolutions and pools are usually written."""
    if isinstance(value, tuple) and value and all(type(item) is int and item == value[0] for item in value):
        return value[0]
    return value


def _signature(cls: type[nn.Module]) -> list[inspect.Parameter]:
    # RNN, LSTM and GRU hide their arguments behind overloads; the base class names them.
    source = nn.RNNBase if issubclass(cls, nn.RNNBase) else cls
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = list(inspect.signature(source.__init__).parameters.values())[1:]
    hidden = {"device", "dtype", "mode"} if source is nn.RNNBase else {"device", "dtype"}
    kept = [p for p in parameters if p.kind in named and p.name not in hidden and not p.name.startswith("_")]
    if cls is nn.RNN:
        kept.append(inspect.Parameter("nonlinearity", inspect.Parameter.KEYWORD_ONLY, default="tanh"))
    return kept


def _call(cls: type[nn.Module], arguments: Mapping[str, object]) -> str:
    parts = []
    for parameter in _signature(cls):
        value = arguments[parameter.name]
        if parameter.default is inspect.Parameter.empty:
            parts.append(literal(value))
        elif value != parameter.default:
            parts.append(f"{parameter.name}={literal(value)}")
    return f"nn.{cls.__name__}({', '.join(parts)})"


def _arguments(module: nn.Module, cls: type[nn.Module], path: str) -> dict[str, object]:
    special = _special(module, path)
    arguments: dict[str, object] = {}
    for parameter in _signature(cls):
        name = parameter.name
        value = special[name] if name in special else getattr(module, name, parameter.default)
        if name == "bias" and not isinstance(value, bool):
            affine = getattr(module, "affine", getattr(module, "elementwise_affine", True))
            value = value is not None if affine else parameter.default
        if value is inspect.Parameter.empty:
            raise ExportError(f"it has no attribute {name!r}")
        if isinstance(value, Tensor):  # a class weight of a loss: the state dict fills it
            value = Code(f"torch.ones({literal(tuple(value.shape))})")
        elif isinstance(value, nn.Module):
            value = Code(constructor(value, f"{path}.{name}"))
        arguments[name] = value
    return arguments


def _special(module: nn.Module, path: str) -> dict[str, object]:
    """Arguments that are kept under another name, or in a child."""
    match module:
        case nn.MultiheadAttention():
            return {
                "bias": module.in_proj_bias is not None,
                "add_bias_kv": module.bias_k is not None,
                "kdim": None if module.kdim == module.embed_dim else module.kdim,
                "vdim": None if module.vdim == module.embed_dim else module.vdim,
            }
        case nn.TransformerEncoderLayer() | nn.TransformerDecoderLayer():
            return {
                "d_model": module.self_attn.embed_dim,
                "nhead": module.self_attn.num_heads,
                "dim_feedforward": module.linear1.out_features,
                "dropout": module.dropout.p,
                "layer_norm_eps": module.norm1.eps,
                "batch_first": module.self_attn.batch_first,
                "bias": module.linear1.bias is not None,
            }
        case nn.TransformerEncoder():
            return {"encoder_layer": module.layers[0]}
        case nn.TransformerDecoder():
            return {"decoder_layer": module.layers[0]}
        case nn.Transformer():
            encoder, decoder = module.encoder, module.decoder
            if isinstance(encoder, nn.TransformerEncoder) and isinstance(decoder, nn.TransformerDecoder):
                first = encoder.layers[0]
                return _special(first, path) | {
                    "num_encoder_layers": encoder.num_layers,
                    "num_decoder_layers": decoder.num_layers,
                    "activation": first.activation,
                    "norm_first": first.norm_first,
                }
            return {"custom_encoder": encoder, "custom_decoder": decoder}
        case nn.AdaptiveLogSoftmaxWithLoss():
            return {"cutoffs": module.cutoffs[:-1]}
        case nn.PairwiseDistance():
            return {"p": module.norm}
        case _ if isinstance(module, getattr(nn, "LinearCrossEntropyLoss", ())):  # younger than the oldest torch
            linear: Any = module.linear
            return {"in_features": linear.in_features, "bias": linear.bias is not None}
        case _:
            return {}


def _difference(call: str, module: nn.Module) -> str | None:
    """Build `call` on the meta device and say how it differs from `module`, if it does."""
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")  # torch warns of some arguments; the user has seen that already
        try:
            built = eval(call, dict(_SCOPE))
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            return f"{type(error).__name__}: {error}"
    ours, theirs = dict(built.named_modules()), dict(module.named_modules())
    if list(ours) != list(theirs):
        return f"its children are {list(theirs)}, not {list(ours)}"
    for name, copy in ours.items():
        difference = _unlike(copy, theirs[name])
        if difference is not None:
            return f"in child {name!r}, {difference}" if name else difference
    return None


def _unlike(copy: nn.Module, module: nn.Module) -> str | None:
    expected = layer(module) or type(module)
    if type(copy) is not expected:
        return f"the class is {expected.__qualname__}, not {type(copy).__qualname__}"
    for kind in ("_parameters", "_buffers"):
        ours, theirs = _shapes(vars(copy)[kind]), _shapes(vars(module)[kind])
        if ours != theirs:
            return f"the tensors are {theirs}, not {ours}"
    attributes = vars(module)
    for name, value in vars(copy).items():
        if name in _BOOKKEEPING or isinstance(value, Tensor):
            continue
        if name not in attributes:
            return f"it has no attribute {name!r}"
        if attributes[name] != value:
            return f"its {name} is {attributes[name]!r}, not {value!r}"
    # Further attributes are the user's own notes, unless they shadow the class's (a patched forward).
    shadows = [name for name in attributes if name not in vars(copy) and hasattr(type(copy), name)]
    if shadows:
        return f"its {shadows[0]} was replaced"
    if type(module) is expected and copy.extra_repr() != module.extra_repr():
        return f"it reads {module.extra_repr()!r}, not {copy.extra_repr()!r}"
    return None


def _shapes(tensors: Mapping[str, Tensor | None]) -> dict[str, tuple[int, ...] | None]:
    return {name: None if value is None else tuple(value.shape) for name, value in tensors.items()}
