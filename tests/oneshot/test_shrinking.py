import pytest
import torch
from torch import nn

from lanista import ModelSpace, choice, real
from lanista.errors import OneShotError
from lanista.nn import LayerChoice, Repeat
from lanista.oneshot import ProgressiveShrinking
from lanista.oneshot.distillation import soft
from tests.oneshot.paths import batch, squared, started, trained

STEPS = 40


def elastic():
    """Kernels, depths and widths as in the paper; a number of groups, of which fewer are larger; a layer; a rate."""
    kernel, width = choice([3, 5, 7], label="kernel"), choice([4, 8], label="width")
    groups, rate = choice([1, 2], label="groups"), real(0.0, 0.5, label="rate")
    return nn.Sequential(
        nn.Conv1d(2, width, kernel, padding=kernel // 2, groups=groups),
        Repeat(lambda: nn.Conv1d(width, width, 1), (1, 3), label="depth"),
        LayerChoice({"norm": lambda: nn.BatchNorm1d(width), "relu": nn.ReLU}, label="layer"),
        nn.Dropout(rate),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(width, 3),
    )


SPACE = ModelSpace(elastic, example_input=torch.zeros(2, 2, 8))
LARGEST = {"kernel": 7, "width": 8, "groups": 1, "depth": 3, "layer": "norm"}


CLASSES = torch.tensor([0, 1, 2, 0])


def cross_entropy(model, data):
    return nn.functional.cross_entropy(model(data[0]), CLASSES)


def method(**settings):
    return started(ProgressiveShrinking(**settings), SPACE, STEPS)[0]


def values(count, shrinking):
    """The open values at a step."""
    shrinking.count = count
    return {label: "all" if found is None else found for label, found in shrinking.open().items()}


def test_values_are_opened_from_the_largest_downwards_one_group_after_another():
    shrinking = method(full=0.25)
    assert {label: shrinking.largest[label] for label in LARGEST} == LARGEST
    rate = shrinking.largest["rate"]
    alone = {"kernel": [7], "width": [8], "groups": [1], "rate": [rate], "depth": [3], "layer": ["norm"]}
    # 5 stages in 30 steps: two smaller kernels, two smaller depths, and the rest
    assert [values(count, shrinking) for count in (0, 9)] == [alone, alone]
    expected = alone | {"kernel": [7, 5]}
    assert [values(count, shrinking) for count in (10, 15)] == [expected, expected]
    expected |= {"kernel": "all"}
    assert values(16, shrinking) == expected
    expected |= {"depth": [3, 2]}
    assert values(22, shrinking) == expected
    expected |= {"depth": "all"}
    assert values(28, shrinking) == expected
    assert values(34, shrinking) == values(STEPS - 1, shrinking) == dict.fromkeys(alone, "all")


def test_the_order_can_be_given():
    shrinking = method(order=["groups", "[kw]*"], full=0.2)
    opened = [values(count, shrinking) for count in range(STEPS)]
    first = {label: min(i for i, found in enumerate(opened) if found[label] != opened[0][label]) for label in LARGEST}
    assert first["groups"] == 8
    assert first["groups"] < first["kernel"] == first["width"] < first["depth"] == first["layer"]


def test_what_is_drawn_is_open():
    shrinking = method(full=0.25, paths=4)
    met = set()
    for count in range(STEPS):
        opened = values(count, shrinking)
        for number in range(3):
            drawn = shrinking.draw(shrinking.random(str(number)))
            assert SPACE.decisions.validate(drawn) == drawn
            assert all(found == "all" or drawn[label] in found for label, found in opened.items())
            met |= {(label, value) for label, value in drawn.items() if label != "rate"}
    assert len(met) == 3 + 2 + 2 + 3 + 2


def test_at_first_the_largest_is_trained_alone_and_then_it_teaches():
    shrinking = method(full=0.25, paths=2, distillation="soft")
    data, shared = batch(SPACE), shrinking.network.supernet
    assert len(list(shrinking.passes(data, cross_entropy))) == 1
    assert shrinking.teacher is None
    shrinking.count = STEPS - 1
    with torch.no_grad():
        taught = shared.inherit(shrinking.largest).eval()(data[0])
    torch.manual_seed(0)
    found = list(shrinking.passes(data, cross_entropy))
    random = shrinking.random()
    drawn = [shrinking.draw(random) for _ in range(2)]
    torch.manual_seed(0)
    for value, architecture in zip(found, drawn, strict=True):
        outputs = shared.path(architecture)(data[0])
        assert torch.allclose(value, soft(outputs, taught) + nn.functional.cross_entropy(outputs, CLASSES), atol=1e-5)
    with torch.no_grad():
        for weight in shared.parameters():
            weight.add_(1.0)
        assert torch.equal(shrinking.teacher(data[0]), taught)  # a copy: it does not follow the weights
    assert not any(weight.requires_grad for weight in shrinking.teacher.parameters())


def test_a_search_goes_on_with_its_teacher():
    first, second = method(full=0.25), method(full=0.25)
    data = batch(SPACE)
    first.count = 20
    list(
        first.passes(data, lambda model, data: nn.functional.cross_entropy(model(data[0]), torch.tensor([0, 1, 2, 0])))
    )
    second.network.supernet.load_state_dict({k: v + 1 for k, v in first.network.supernet.state_dict().items()})
    second.load_state_dict(first.state_dict())
    assert second.count == 20
    assert torch.equal(second.teacher(data[0]), first.teacher(data[0]))
    fresh = method(full=0.25)
    second.load_state_dict(fresh.state_dict())
    assert second.teacher is None


def test_limits_are_kept():
    space = SPACE.constrain(lambda a: a["kernel"] < 7 and (a["width"] == 8 or a["depth"] > 1))
    shrinking, _ = started(ProgressiveShrinking(full=0.2, paths=3, distillation=None), space, 20)
    assert (shrinking.largest["kernel"], shrinking.largest["width"], shrinking.largest["depth"]) == (5, 8, 3)
    for _ in range(20):
        random = shrinking.random("test")
        assert not space.decisions.violations(shrinking.draw(random))
        trained(shrinking, squared)


def test_priors_are_respected_among_open_values():
    def net():
        return nn.Linear(4, choice([2, 3, 4], prior=[1, 1, 8], label="width"))

    shrinking, _ = started(ProgressiveShrinking(full=0.2), ModelSpace(net, example_input=torch.zeros(2, 4)), 100)
    shrinking.count = 30
    assert shrinking.open() == {"width": [4, 3]}
    drawn = [shrinking.draw(shrinking.random(str(i)))["width"] for i in range(450)]
    assert 25 < drawn.count(3) < 80  # 50 expected, deviation 6.7
    assert drawn.count(2) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"order": "*kernel*"}, r"order is '\*kernel\*'; give a list of patterns"),
        ({"full": 0.0}, "full is 0.0, which must be above 0 and below 1"),
        ({"full": 1}, "full is 1, which must be above 0"),
        ({"paths": 0}, "paths 0, an integer of at least 1"),
        ({"distillation": 1}, "distillation is 1; give 'auto', 'soft'"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(OneShotError, match=message):
        ProgressiveShrinking(**settings)
