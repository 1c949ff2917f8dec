import math

import pytest
import torch

from lanista.errors import ExportError
from lanista.export.compare import agree, distance, outputs_distance

NAN = torch.tensor([1.0, math.nan])


@pytest.mark.parametrize(
    ("one", "other", "gap"),
    [
        (torch.ones(2), torch.ones(2), 0.0),
        (torch.ones(2), torch.tensor([1.0, 1.5]), 0.5 / 1.5),
        (torch.tensor([0.1]), torch.tensor([0.2]), 0.1),
        (torch.zeros(0), torch.zeros(0), 0.0),
        (torch.zeros(1, 2), torch.zeros(2), math.inf),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64), math.inf),
        (NAN, NAN.clone(), 0.0),
        (NAN, torch.ones(2), math.inf),
        (torch.ones(2), NAN, math.inf),
        (3, 3, 0.0),
        (3, None, math.inf),
    ],
)
def test_a_distance_is_relative_and_never_nan(one, other, gap):
    assert distance(one, other) == pytest.approx(gap)


def test_agreement_knows_nan():
    assert agree(NAN, NAN.clone())
    assert not agree(NAN, torch.ones(2))


def test_outputs_are_compared_part_by_part():
    x = torch.ones(2)
    assert outputs_distance({"a": [x, 1]}, {"a": [x + 1, 1]}, "it") == 0.5
    with pytest.raises(ExportError, match=r"it returns .*, the model"):
        outputs_distance([x], x, "it")
