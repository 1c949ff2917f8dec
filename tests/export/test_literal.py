import math
import operator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F  # noqa: N812

from lanista.errors import ExportError
from lanista.export.literal import WIDTH, function, layout, literal

SCOPE = {"torch": torch, "F": F, "math": math, "operator": operator}

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.just(...),
    st.sampled_from(
        [torch.float16, torch.device("cpu"), torch.device("cuda:1"), torch.channels_last, range(1, 5, 2)]
    ),
    st.builds(slice, st.none() | st.integers(), st.none() | st.integers()),
    st.sampled_from(
        [torch.relu, F.gelu, torch.cat, math.sqrt, operator.add, max, torch.linalg.norm, torch.fft.fft]
    ),
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(VALUES)
def test_a_literal_evaluates_to_its_value(value):
    again = eval(literal(value), dict(SCOPE))
    assert again == value or repr(again) == repr(value)  # a nan equals nothing


@given(VALUES, st.integers(0, 20), st.sampled_from(["", "return ", "self.body = "]))
def test_layout_changes_no_value(value, indent, prefix):
    text = "\n".join(layout(prefix, f"dict(a=[{literal(value)}], b=1)", indent))
    again = eval(text[indent + len(prefix) :], dict(SCOPE))
    assert repr(again) == repr({"a": [value], "b": 1})


@given(
    st.lists(
        st.sampled_from(["x", "self.weight", "F.relu(x)", "torch.empty(3, dtype=torch.int64)"]), max_size=40
    )
)
def test_lines_keep_to_the_width(items):
    lines = layout("x = ", f"torch.cat([{', '.join(items)}], dim=1)", 8)
    assert all(len(line) <= WIDTH and line == line.rstrip() for line in lines)


def test_functions_have_the_name_that_people_use():
    named = {
        "F.relu": F.relu,
        "torch.relu": torch.relu,
        "torch.cat": torch.cat,
        "F.conv2d": torch.conv2d,
        "math.sqrt": math.sqrt,
        "operator.add": operator.add,
        "len": len,
        "torch.ops.aten.add.Tensor": torch.ops.aten.add.Tensor,
    }
    assert {name: function(value) for name, value in named.items()} == {name: name for name in named}


@pytest.mark.parametrize("value", [object(), {1, 2}, torch.Generator(), torch.ones(1), lambda: None])
def test_what_has_no_source_form_is_refused(value):
    with pytest.raises(ExportError, match=r"no plain source form|is not a function of torch"):
        literal(value)
