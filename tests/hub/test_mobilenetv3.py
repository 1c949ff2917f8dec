from functools import cache

import pytest

from lanista.errors import SpaceError
from lanista.hub import MobileNetV3
from lanista.hub.mobilenetv3 import ENTRIES, LARGE, SMALL
from tests.hub.chains import SAMPLES, in_the_catalog, lives, reproduces

[ENTRY] = ENTRIES


@cache
def small():
    return MobileNetV3(
        5,
        widths=(8, 8, 16, 24, 32, 40),
        width_multipliers=(1.0, 2.0),
        expand_ratios=(1.0, 2.3, 3.0),
        depths=(1, 3),
        strides=(1, 2, 1),
        squeeze_excite=("optional", "none", "force"),
        activations=("relu", "swish", "hswish"),
        resolution=32,
    )


@pytest.mark.parametrize("known", ENTRY.known, ids=lambda known: known.name)
def test_published_counts_are_reproduced(known):
    reproduces(ENTRY, known)


@pytest.mark.parametrize("seed", SAMPLES)
def test_a_random_model_trains_and_runs_without_lanista(seed):
    lives(small(), seed)


def test_the_space_has_the_papers_choices():
    space = in_the_catalog(ENTRY).decisions
    # Base widths times 0.5, 0.625, 0.75, 1, 1.25, 1.5, 2, in multiples of 8: some fall together.
    assert space["stage1/width"].grid() == (8, 16, 24, 32)
    assert space["stage3/width"].grid() == (16, 24, 32, 40, 48, 64)
    assert space["stage4/width"].grid() == (32, 40, 48, 64, 80, 96, 128)
    widths = 4**3 * 6 * 7**5
    # Three kernels and six expansions; with or without squeeze-excite in three of the five stages.
    plain = sum((3 * 6) ** depth for depth in range(1, 5))
    squeezed = sum((3 * 6 * 2) ** depth for depth in range(1, 5))
    assert space.size == widths * 3 * plain**2 * squeezed**3


@pytest.mark.parametrize("settings", [LARGE, SMALL], ids=["large", "small"])
def test_a_single_candidate_is_no_decision(settings):
    space = MobileNetV3(**settings, resolution=32).decisions
    assert not [label for label in space.labels if label.endswith(("width", "squeeze"))]
    stages = len(settings["widths"]) - 4
    assert space.size == 3 * sum((3 * 7) ** depth for depth in range(1, 5)) ** stages


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"widths": (16, 24)}, "widths is .*of length 2; give 9: of the stem, 6 stages"),
        ({"squeeze_excite": ("none",)}, "squeeze_excite is .*; give 6"),
        ({"activations": ("relu",) * 5}, "activations is .*; give 6"),
        ({"activations": ("relu",) * 5 + ("gelu",)}, "'gelu' is unknown; it must be one of relu, hswish, swish"),
        ({"squeeze_excite": ("none",) * 5 + ("maybe",)}, "'maybe' is unknown; it must be one of none, optional, force"),
    ],
)
def test_a_misuse_says_what_to_do(settings, words):
    with pytest.raises(SpaceError, match=words):
        MobileNetV3(**settings)


def test_squeeze_excite_is_where_it_is_asked_for():
    def squeezed(optional):
        model = small().build(small().decisions.default() | {"stage1/block0/squeeze": optional})
        return [hasattr(stage[0], "squeeze") for stage in (model.stage1, model.stage2, model.stage3)]

    assert squeezed(False) == [False, False, True]
    assert squeezed(True) == [True, False, True]
