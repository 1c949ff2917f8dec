"""Pictures of one-shot searches: every choice has a panel, and every line is where its strengths are."""

import math
import re
from functools import partial
from random import Random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lanista import ModelSpace, draw
from lanista.draw.strength import HEIGHT, POINTS, WIDTH
from lanista.draw.svg import STYLE, text_width
from lanista.errors import OneShotError
from lanista.nn import Cell, LayerChoice
from lanista.oneshot import DARTS
from tests.draw.paper import SPACE, check, rects, words

OPS = ["none", "skip_connect", "conv_3x3"]


def noted(*strengths, every=10):
    return [{"step": every * (i + 1), "metrics": {}, "strengths": one} for i, one in enumerate(strengths)]


def groups(root):
    return list(root.iter(f"{SPACE}g"))


def curves(root):
    """For each panel: class -> points of the line. What comes later of a class is the sample in the panel's words."""
    panels = []
    for group in groups(root):
        lines = {}
        for line in group.iter(f"{SPACE}polyline"):
            if line.get("class").startswith("curve"):
                points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
                lines.setdefault(line.get("class"), points)
        panels.append(lines)
    return panels


NUMBERS = [0.0, 5e-324, 0.1, 0.5, 1.0, 3.0, math.nan, math.inf]


@st.composite
def searches(draw):
    """(history, options) of any shape."""
    names = draw(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=4, unique=True))
    options = {name: draw(st.lists(st.text(max_size=30), min_size=1, max_size=12)) for name in names}
    rows = draw(st.integers(1, 3))
    random = Random(draw(st.integers(0, 1000)))
    usual = NUMBERS[: draw(st.integers(1, len(NUMBERS)))]

    def entry():
        return {name: [random.choices(usual, k=len(titles)) for _ in range(rows)] for name, titles in options.items()}

    return noted(*(entry() for _ in range(draw(st.integers(1, 4))))), options


@given(searches())
def test_every_search_has_a_picture_with_a_panel_for_each_row(search):
    history, options = search
    text = draw.strengths(history, options)
    root = check(text)
    rows = sum(len(rows) for rows in history[0]["strengths"].values())
    assert len(groups(root)) == len(rects(root, {"panel"})) == rows
    page = rects(root, {"page"})[0]
    for line in root.iter(f"{SPACE}polyline"):
        for point in line.get("points").split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= page.width and 0 <= y <= page.height
    assert draw.strengths(history, options) == text


def test_a_line_goes_where_the_strengths_are():
    history = noted({"a": [[0.5, 0.5, 0.0]]}, {"a": [[0.2, 0.3, 0.5]]}, {"a": [[0.0, 0.1, 0.9]]})
    root = check(draw.strengths(history, {"a": OPS}))
    [panel] = curves(root)
    low, high = panel["curve hue0"][2][1], 2 * panel["curve hue0"][0][1] - panel["curve hue0"][2][1]
    # All panels have the scale from 0 to 1, the next round number.
    assert "1 choice · strengths from 0 to 1 · mean entropy 0.63 → 0.30" in " ".join(words(root))
    for index, style in enumerate(["curve hue0", "curve hue1"]):
        heights = [low + (high - low) * entry["strengths"]["a"][0][index] for entry in history]
        assert [y for _, y in panel[style]] == pytest.approx(heights, abs=0.1)
    xs = [x for x, _ in panel["curve hue0"]]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.11) and xs[2] - xs[0] > WIDTH / 2
    assert "curve best hue2" in panel
    assert {"conv_3x3 0.90", "entropy 0.63 → 0.30", "10", "step", "30"} <= set(words(root))


def test_options_of_one_name_have_one_colour_and_the_legend_names_each_once():
    history = noted({"a": [[0.9, 0.1, 0.0]], "b": [[0.1, 0.9], [0.6, 0.4]]})
    root = check(draw.strengths(history, {"a": OPS, "b": ["conv_3x3", "pool"]}))
    assert [sorted(panel) for panel in curves(root)] == [
        ["curve best hue0", "curve hue1", "curve hue2"],
        ["curve best hue3", "curve hue2"],
        ["curve best hue2", "curve hue3"],
    ]
    assert [words(root).count(name) for name in [*OPS, "pool"]] == [1] * 4
    titles = [group.find(f"{SPACE}text").text for group in groups(root)]
    assert titles == ["a", "b ← 0", "b ← 1"]


def test_more_options_than_colours_are_told_apart_by_dashes():
    names = [f"width {i}" for i in range(30)]
    [panel] = curves(check(draw.strengths(noted({"w": [[1 / 30] * 30]}), {"w": names})))
    assert len({style.replace(" best", "") for style in panel}) == 30


@pytest.mark.parametrize(
    ("row", "entropy"), [([0.25] * 4, "1.00"), ([0, 1, 0, 0], "0.00"), ([3, 3, 0, 0], "0.50"), ([0] * 4, "0.00")]
)
def test_the_entropy_is_that_of_shares(row, entropy):
    root = check(draw.strengths(noted({"a": [row]}), {"a": list("wxyz")}))
    assert f"entropy {entropy} → {entropy}" in words(root)


def test_many_panels_and_long_searches_stay_on_a_page():
    options = {f"normal/op_{i}_{j}": [*OPS, *"abcde"] for i in range(5) for j in range(8)}
    history = noted(*({name: [[1 / 8] * 8] for name in options} for _ in range(1000)))
    root = check(draw.strengths(history, options))
    width, height = float(root.get("width")), float(root.get("height"))
    assert 1.2 < width / height < 2 and height < 9 * HEIGHT
    assert all(len(line) <= POINTS + 1 for panel in curves(root) for line in panel.values())
    assert words(root).count("10,000") == 40


def test_long_names_are_written_small_before_they_are_shortened():
    names = ["b/op", "stages/0/blocks/1/kernel_and_more", "stages/" * 20 + "op"]
    root = check(draw.strengths(noted({name: [[1, 0, 0]] for name in names}), dict.fromkeys(names, OPS)))
    titles = [group.find(f"{SPACE}text") for group in groups(root)]
    assert [title.get("class") for title in titles] == ["bold", "small bold", "small bold"]
    assert [title.text for title in titles[:2]] == names[:2] and "…" in titles[2].text
    assert all(text_width(title.text, 10, bold=True) < WIDTH for title in titles)
    assert groups(root)[2].find(f"{SPACE}title").text.startswith(names[2])


def test_what_is_no_finite_number_is_left_out_and_said():
    history = noted({"a": [[0.5, 0.5]], "b": [[math.nan] * 2]}, {"a": [[math.nan, 1.0]], "b": [[math.inf] * 2]})
    root = check(draw.strengths(history, {"a": ["x", "y"], "b": ["x", "y"]}))
    said = words(root)
    assert {"no finite numbers in 1 of 2 entries", "no finite numbers in 2 of 2 entries"} <= set(said)
    assert "x 0.50" not in said
    assert said.count("10") == 2  # the one moment is first and last
    assert [len(panel) for panel in curves(root)] == [2, 0]


@pytest.mark.parametrize(
    ("history", "options", "said"),
    [
        ([], {"a": OPS}, "no strengths of options in 0 entries"),
        (noted(None, None), {"a": OPS}, "in 2 entries .* random paths"),
        (noted({}), {}, "of 0 choices"),
        (noted({"a": [[1, 0]]}), {"a": OPS}, "'a' have 1 rows of 2 options, and there are 3 names"),
        (noted({"a": [[1, 0, 0]]}, {"a": []}), {"a": OPS}, "'a' have 0 or 1 rows"),
    ],
)
def test_what_cannot_be_drawn_is_said(history, options, said):
    with pytest.raises(OneShotError, match=said):
        draw.strengths(history, options)


def test_light_and_dark_pages_have_the_same_colours():
    style = check(draw.strengths(noted({"a": [[1, 0, 0]]}), {"a": OPS})).find(f"{SPACE}style").text
    assert style.startswith(STYLE)
    light, dark = (set(re.findall(r"\.hue\d", part)) for part in style.removeprefix(STYLE).split("@media"))
    assert light == dark and {".hue0", ".hue1", ".hue2"} <= light


class Network(nn.Module):
    """A choice of a layer, and a cell with nodes of one and of two inputs."""

    def __init__(self):
        super().__init__()
        self.layer = LayerChoice({"linear": partial(nn.Linear, 4, 4), "skip": nn.Identity}, label="layer")
        self.cell = Cell({"linear": partial(nn.Linear, 4, 4), "tanh": nn.Tanh}, 2, label="cell")

    def forward(self, x):
        return self.cell(self.layer(x))


def test_what_a_search_found_can_be_drawn():
    batch = (torch.ones(4, 4), torch.zeros(4, 8))
    optimizer = partial(torch.optim.SGD, lr=0.1)
    found = DARTS().fit(ModelSpace(Network), [batch], [batch], loss=nn.MSELoss(), optimizer=optimizer, epochs=3, k=1)
    root = check(draw.strengths(found.history, found.options))
    titles = [group.find(f"{SPACE}text").text for group in groups(root)]
    assert titles == ["layer", "cell/1", "cell/2 ← 0", "cell/2 ← 1"]
    assert {"linear", "skip", "tanh", "1", "3"} <= set(words(root))
