"""The page: well-formed, self-contained, escaped."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from lanista.trust import between_seeds, examine, random_search
from tests.trust.cases import normal

EVIL = """<script>alert("x")</script>&'"""


def written(folder, n=60, **settings):
    x, y, p = normal(0, n, 0.9, 0.4)
    return examine(x, y, p, **settings).write_html(folder / "trust.html").read_text(encoding="utf-8")


def everything(n=60):
    _, y, _ = normal(0, n, 0.9, 0.4)
    noise = between_seeds(y, {0: [1.0, 1.1], 1: [2.0, 2.3]})
    return {"noise": noise, "search": random_search(y, each=1, spent=10, chosen=2.5)}


def tree(page):
    head, _, rest = page.partition("\n")
    assert head == "<!DOCTYPE html>"
    return ET.fromstring(rest)


@pytest.mark.parametrize("settings", [{}, everything()], ids=["bare", "everything"])
def test_it_is_well_formed_and_needs_nothing_else(tmp_path, settings):
    page = written(tmp_path, **settings)
    elements = list(tree(page).iter())
    names = {element.tag for element in elements}
    assert names.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "base"})
    attributes = {name for element in elements for name in element.attrib}
    assert attributes.isdisjoint({"src", "href", "srcset", "data", "action", "onclick", "onload"})
    assert not re.search(r"https?:|url\(|@import|//", page)


def test_it_has_pictures_numbers_and_what_they_mean(tmp_path):
    page = written(
        tmp_path, **everything(), title="A search", proxy_name="synflow", real_name="accuracy", notes=["Noted."]
    )
    root = tree(page)
    assert len(list(root.iter("svg"))) == 4, "proxy and parameters against the real score, intervals, random search"
    text = " ".join(root.itertext())
    for word in ("A search", "synflow", "accuracy", "informative", "Noise between seeds", "Random search", "Noted."):
        assert word in text
    assert "prefers-color-scheme:dark" in page and "@media print" in page


def test_without_parameters_there_is_one_scatter_plot(tmp_path):
    x, y, _ = normal(0, 30, 0.9, 0.4)
    page = examine(x, y).write_html(tmp_path / "one.html").read_text(encoding="utf-8")
    assert len(list(tree(page).iter("svg"))) == 2


def test_names_of_users_are_escaped(tmp_path):
    names = dict.fromkeys(("title", "proxy_name", "real_name"), EVIL)
    page = written(tmp_path, **names, notes=[EVIL], labels=[EVIL] * 60)
    root = tree(page)
    assert not list(root.iter("script"))
    assert EVIL in "".join(root.itertext())


@pytest.mark.parametrize("n", [2, 9, 40])
def test_few_architectures_make_a_page_too(tmp_path, n):
    assert "too few architectures" in written(tmp_path, n)


def test_constant_scores_make_a_page_too(tmp_path):
    file = examine(np.ones(20), np.ones(20), np.ones(20)).write_html(tmp_path / "same.html")
    assert "same for all" in "".join(tree(file.read_text(encoding="utf-8")).itertext())
