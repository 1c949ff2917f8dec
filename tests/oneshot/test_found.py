import json

import pytest
import torch
from torch import nn

from lanista.errors import OneShotError
from lanista.oneshot import SPOS
from lanista.oneshot.found import ranked, search
from lanista.space import Categorical, Decision, SearchSpace
from lanista.strategy import GridSearch, RegularizedEvolution
from tests.oneshot.tiny import accuracy, loader, sgd, space


@pytest.fixture(scope="module")
def found():
    return SPOS().fit(
        space(),
        loader(),
        loader(seed=1),
        loss=nn.CrossEntropyLoss(),
        optimizer=sgd,
        epochs=2,
        metric=accuracy,
        evaluations=8,
    )


def test_the_best_are_sorted_and_different(found):
    assert found.scores == sorted(found.scores, reverse=True)
    assert len({json.dumps(architecture) for architecture in found.architectures}) == 3
    assert found.best == found.architectures[0]


def test_a_model_is_the_user_s_own(found):
    model = found.model()
    assert all(type(module).__module__.startswith(("torch.", "tests.")) for module in model.modules())
    model.stem[0].weight.data.zero_()
    assert found.model().stem[0].weight.abs().sum() > 0


def test_ranks_that_are_not_there_are_refused(found):
    for rank in (-1, 3):
        with pytest.raises(OneShotError, match="from 0"):
            found.model(rank)


def test_a_saved_architecture_builds(found, tmp_path):
    file = found.save(tmp_path / "deep" / "best.json", rank=1)
    architecture = json.loads(file.read_text())
    assert architecture == found.architectures[1]
    assert space().build(architecture)(torch.zeros(2, 4)).shape == (2, 2)


def test_its_text_says_what_and_how_far(found):
    text = str(found)
    assert f"{found.scores[0]:.4g}  body=" in text
    assert "train the best few by themselves" in text


SPACE = SearchSpace([Decision("x", Categorical(range(10))), Decision("y", Categorical(range(3)))])


def test_any_strategy_searches():
    asked = []

    def score(architecture):
        asked.append(architecture)
        return -abs(architecture["x"] - 7) - architecture["y"]

    tried = search(RegularizedEvolution(population_size=8, sample_size=4), SPACE, score, 60, seed=0)
    assert max(tried, key=lambda pair: pair[1])[0] == {"x": 7, "y": 0}
    assert len(asked) == len({json.dumps(architecture) for architecture in asked}), "something was scored twice"
    assert len(tried) == 60


def test_a_search_ends_where_nothing_is_left():
    assert len(search(GridSearch(), SPACE, lambda architecture: 0.0, 100, seed=0)) == 30


def test_equal_scores_keep_their_order():
    pairs = [({"x": number}, 1.0) for number in (3, 1, 2, 3)]
    assert ranked(pairs, 2) == [({"x": 3}, 1.0), ({"x": 1}, 1.0)]
