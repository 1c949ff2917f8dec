import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from lanista.errors import EvaluatorError
from lanista.evaluator import recalibrate


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.BatchNorm2d(4, momentum=0.3),
        nn.ReLU(),
        nn.Conv2d(4, 4, 1),
        nn.SyncBatchNorm(4),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.Flatten(),
        nn.LazyLinear(5),
        nn.BatchNorm1d(5, affine=False),
    )


def batches():
    return [torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]


def test_statistics_are_those_of_torch_s_own_update():
    ours, theirs = network(), network()
    for model in (ours, theirs):
        model(batches()[0])
    theirs.load_state_dict(ours.state_dict())
    recalibrate(ours, [(inputs, "targets") for inputs in batches()])
    update_bn(batches(), theirs)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


def test_the_average_is_plain_and_dropout_is_out():
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(3, momentum=0.9))
    recalibrate(model, batches())
    expected = torch.stack([batch.mean((0, 2, 3)) for batch in batches()]).mean(0)
    assert torch.allclose(model[1].running_mean, expected, atol=1e-6)


def test_modes_and_momenta_stay_also_after_an_error():
    model = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3), nn.Dropout(), nn.BatchNorm2d(3, momentum=None))
    model[0].eval()
    for given in (batches(), [*batches(), torch.zeros(1)]):
        try:
            recalibrate(model, given)
        except (RuntimeError, ValueError):
            assert len(given) == 4
        assert [module.training for module in model] == [False, True, True]
        assert [model[0].momentum, model[2].momentum] == [0.3, None]
    assert not model[0].running_mean.requires_grad


def test_no_batches_are_an_error_but_not_without_batch_normalisation():
    with pytest.raises(EvaluatorError, match=r"recalibrate got no batches, .*give at least one batch"):
        recalibrate(nn.BatchNorm1d(2), [])
    recalibrate(nn.Linear(2, 2), iter([]))
    recalibrate(nn.BatchNorm1d(2, track_running_stats=False), iter([]))
