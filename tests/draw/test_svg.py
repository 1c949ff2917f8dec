import pytest
from hypothesis import given
from hypothesis import strategies as st

from lanista.draw.svg import Canvas, escape, number, shortened, text_width
from tests.draw.paper import SPACE, arrows, parse, rects


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_gives_valid_xml(one, other):
    canvas = Canvas()
    canvas.open(title=one + "x", style="off")
    canvas.text(1, 2, other, "bold")
    canvas.close()
    root = parse(canvas.document(10, 10, one + "t", other + "d"))
    [text] = root.iter(f"{SPACE}text")
    assert len(text.text or "") == len(other)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (-0.01, "0"), (1.25, "1.2"), (3.0, "3"), (-2.5, "-2.5"), (12345.678, "12345.7")]
)
def test_numbers_are_short_and_always_alike(value, text):
    assert number(value) == text


def test_shapes_are_painted_where_they_are_put():
    canvas = Canvas()
    canvas.rect(1, 2, 30, 40, "box strong")
    canvas.line([(0, 0), (5, 5)])
    canvas.arrow([(10, 42), (10, 50), (30, 70), (30, 80)])
    root = parse(canvas.document(100, 90, "t", "d"))
    [rect] = rects(root)
    assert (rect.x, rect.y, rect.width, rect.height) == (1, 2, 30, 40)
    assert arrows(root) == [((10, 42), (30, 80))]
    assert root.get("viewBox") == "0 0 100 90"


def test_light_and_dark_pages_have_the_same_roles():
    style = parse(Canvas().document(1, 1, "t", "d")).find(f"{SPACE}style").text
    light, dark = style.split("@media (prefers-color-scheme:dark)")
    assert light.count("fill:") == dark.count("fill:")


def test_text_is_measured_and_shortened():
    assert text_width("iiii") < text_width("aaaa") < text_width("MMMM")
    assert text_width("abc", bold=True) > text_width("abc")
    assert text_width("abc", 20) == 2 * text_width("abc", 10)
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 7) == "abc…ijk"
    assert escape("<a & b\x00>") == "&lt;a &amp; b\N{REPLACEMENT CHARACTER}&gt;"
