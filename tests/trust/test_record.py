"""The record of everything that is known."""

import json

import pytest

from lanista.errors import MetricError
from lanista.trust import Verdict, assess, between_seeds, examine, random_search
from tests.trust.cases import normal

X, Y, P = normal(0, 60, 0.9, 0.4)


def full():
    noise = between_seeds(Y, {0: [1.0, 1.1], 1: [2.0, 2.3]})
    search = random_search(Y, each=2.0, spent=20, chosen=9)
    return examine(
        X, Y, P, noise=noise, search=search, title="T", proxy_name="few epochs", real_name="acc", notes=["N."]
    )


def test_it_holds_the_scores_and_the_assessment():
    found = examine(X, Y, P, top=0.3, confidence=0.9, looks=2, seed=4)
    assert found.assessment == assess(X, Y, P, top=0.3, confidence=0.9, looks=2, seed=4)
    assert found.proxy == tuple(X) and found.parameters == tuple(P) and found.labels[59] == "59"
    assert found.headline == found.assessment.headline and found.verdict is found.assessment.verdict


def test_json_holds_everything_and_is_json():
    read = json.loads(json.dumps(full().to_json(), allow_nan=False))
    assert read["verdict"] == str(full().verdict) in list(Verdict)
    assert read["assessment"]["overall"]["proxy"]["value"] == full().assessment.overall.proxy.value
    assert read["search"]["equivalents"] == {"value": None, "low": read["search"]["equivalents"]["low"], "high": None}
    assert read["outcome"] == "better" and len(read["real"]) == 60 and read["noise"]["architectures"] == 2
    bare = examine(X, Y).to_json()
    assert bare["noise"] is bare["search"] is bare["parameters"] is bare["outcome"] is None


def test_the_text_has_every_section_within_its_columns():
    text = str(full())
    for word in (
        "T: few epochs as a proxy of acc",
        "INFORMATIVE",
        "over all",
        "best 20 %",
        "standard deviation",
        "worth",
        "N.",
    ):
        assert word in text
    assert max(map(len, text.splitlines())) <= 120
    assert "Noise" not in str(examine(X, Y, P))


def test_it_is_short_in_a_console():
    assert repr(full()) == f"<Trust in 'few epochs' for 'acc', 60 architectures: {full().headline}>"


def test_labels_are_as_many_as_scores():
    with pytest.raises(MetricError, match="labels has 1 names, but real has 60"):
        examine(X, Y, labels=["a"])
