"""`Placeholder`: a place in a model, for a mutator to fill."""

from __future__ import annotations

from torch import nn


def Placeholder(label: str, **info: object) -> nn.Module:
    """A module that does nothing, and tells mutators its label and what they should know about its place.

    It is a plain `nn.Identity` with two attributes, `label` and `info`. In a mutator, `graph.find(label=label)`
    gives its node, and `node.info` the information: `Placeholder("block", width=32, stride=2)`. Any other
    module can be labelled too: `self.stem.label = "stem"`.

    Args:
        label: several placeholders may have the same one.
        info: anything that is worth knowing: widths, strides, position.
    """
    module = nn.Identity()
    vars(module).update(label=label, info=info)
    return module
