import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lanista import ModelSpace
from lanista.errors import EvaluatorError, OneShotError
from lanista.oneshot import DARTS, SPOS, Supernet
from tests.oneshot.tiny import Net, accuracy, data, loader, sgd, space

METHODS = [partial(DARTS, learning_rate=0.05), SPOS]


def fit(method, train=None, valid=None, epochs=3, **options):
    train = loader(shuffle=True) if train is None else train
    valid = loader(seed=1) if valid is None else valid
    settings = {"loss": nn.CrossEntropyLoss(), "optimizer": sgd, "metric": accuracy, "evaluations": 8}
    return method.fit(options.pop("space", space()), train, valid, epochs=epochs, **{**settings, **options})


def weights(found):
    return found.supernet.state_dict()


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


class Stop(Exception):
    """Ends a search in the middle."""


class Interrupted:
    """A loader that stops the search in one of its passes, after some batches."""

    def __init__(self, loader, turn):
        self.loader, self.left = loader, turn

    def __len__(self):
        return len(self.loader)

    def __iter__(self):
        self.left -= 1
        for number, batch in enumerate(self.loader):
            if not self.left and number == 2:
                raise Stop
            yield batch


@pytest.mark.parametrize("make", METHODS)
def test_a_search_that_was_interrupted_goes_on_as_if_it_had_not_been(make, tmp_path):
    options = {
        "scheduler": partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=4),
        "epochs": 4,
        "clip": 1.0,
    }
    whole = fit(make(), **options)
    with pytest.raises(Stop):
        fit(make(), Interrupted(loader(shuffle=True), turn=3), folder=tmp_path, **options)
    resumed = fit(make(), folder=tmp_path, **options)
    assert same(weights(whole), weights(resumed))
    assert whole.history == resumed.history
    assert (whole.architectures, whole.scores) == (resumed.architectures, resumed.scores)


def test_shuffled_validation_batches_are_the_same_after_an_interruption(tmp_path):
    make, valid = METHODS[0], loader(seed=1, batch_size=40, shuffle=True)
    whole = fit(make(), valid=valid, epochs=4)
    with pytest.raises(Stop):
        fit(make(), Interrupted(loader(shuffle=True), turn=4), valid, folder=tmp_path, epochs=4)
    resumed = fit(make(), valid=valid, folder=tmp_path, epochs=4)
    assert same(weights(whole), weights(resumed))


@pytest.mark.parametrize("make", METHODS)
def test_the_global_generator_decides_nothing(make):
    torch.manual_seed(1)
    first = fit(make())
    torch.manual_seed(2)
    second = fit(make())
    assert same(weights(first), weights(second))
    assert first.architectures == second.architectures
    other = fit(make(), seed=5)
    assert not same(weights(first), weights(other))


@pytest.mark.parametrize("make", METHODS)
def test_a_finished_search_is_not_trained_again(make, tmp_path):
    first = fit(make(), folder=tmp_path)
    again = fit(make(), Interrupted(loader(shuffle=True), turn=99), folder=tmp_path)
    assert same(weights(first), weights(again))
    assert first.scores == again.scores


def test_a_supernet_may_be_trained_further():
    supernet = fit(SPOS()).supernet
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    found = fit(SPOS(), space=supernet)
    assert found.supernet is supernet
    assert not same(before, supernet.state_dict())


def test_scores_are_of_recalibrated_paths():
    found = fit(SPOS(), k=2)
    model = found.model().eval()
    inputs, targets = loader(seed=1).dataset.tensors
    assert accuracy(model(inputs), targets).item() == pytest.approx(found.scores[0], abs=1e-6)
    assert accuracy(found.model(1).eval()(inputs), targets).item() == pytest.approx(found.scores[1], abs=1e-6)


def test_without_a_metric_the_loss_decides():
    found = fit(SPOS(), metric=None)
    assert all(score < 0 for score in found.scores)


def test_without_validation_data_nothing_is_compared():
    found = SPOS().fit(space(), loader(), loss=nn.CrossEntropyLoss(), optimizer=sgd, epochs=1)
    assert len(found.architectures) == 3
    assert all(map(math.isnan, found.scores))


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"train": iter(())}, OneShotError, "without a length"),
        ({"train": []}, OneShotError, "without a length or a batch"),
        ({"train": [torch.zeros(4, 4)]}, OneShotError, "not (inputs, targets)"),
        ({"valid": []}, EvaluatorError, "no batch"),
    ],
)
def test_data_that_do_not_fit(options, error, words):
    with pytest.raises(error) as caught:
        fit(DARTS(), **options)
    assert words in str(caught.value)


def test_methods_that_learn_need_validation_data():
    with pytest.raises(OneShotError, match="learns from validation data"):
        DARTS().fit(space(), loader(), loss=nn.CrossEntropyLoss(), optimizer=sgd, epochs=1)


def wider(parameters):
    return torch.optim.SGD(parameters, 0.2, momentum=0.9)


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        (DARTS, {}, "method SPOS"),
        (SPOS, {"seed": 1}, "seed 0, not 1"),
        (SPOS, {"epochs": 5}, "epochs 3, not 5"),
        (SPOS, {"optimizer": wider}, "optimizer SGD .*0.1.*not SGD .*0.2"),
        (SPOS, {"clip": 1.0}, "clip None, not 1.0"),
        (SPOS, {"loss": nn.CrossEntropyLoss(label_smoothing=0.5)}, "loss .*0.0.*not .*0.5"),
        (SPOS, {"train": loader(256, shuffle=True)}, "batches 16, not 8"),
        (SPOS, {"scheduler": partial(torch.optim.lr_scheduler.StepLR, step_size=1)}, "scheduler NoneType, not StepLR"),
        (SPOS, {"space": ModelSpace(nn.Linear, 4, 2)}, "space "),
    ],
)
def test_the_folder_of_another_search_is_refused(method, options, words, tmp_path):
    fit(SPOS(), folder=tmp_path)
    with pytest.raises(OneShotError, match=f"is of another search, with .*{words}.*give another folder"):
        fit(method(), folder=tmp_path, **options)


@pytest.mark.parametrize(("method", "read"), [(SPOS, 0), (DARTS, 48)])
def test_only_methods_that_learn_read_validation_batches_in_training(method, read):
    class Counting(DataLoader):
        count = 0

        def __iter__(self):
            for batch in super().__iter__():
                self.count += 1
                yield batch

    class Counted(method):
        def best(self, k=1):
            self.read = valid.count
            return super().best(k)

        def searcher(self):
            self.read = valid.count
            return super().searcher()

    valid = Counting(data(seed=1), batch_size=32)
    counted = Counted()
    fit(counted, valid=valid)
    assert counted.read == read


def test_a_scheduler_that_needs_a_metric_is_refused_before_the_training():
    with pytest.raises(OneShotError, match="ReduceLROnPlateau needs a metric"):
        fit(SPOS(), scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau)


def test_weights_of_another_supernet_are_refused(tmp_path):
    fit(SPOS(), folder=tmp_path)
    other = Supernet(space())
    other.register_parameter("more", nn.Parameter(torch.zeros(1)))
    with pytest.raises(OneShotError, match="is of another search"):
        fit(SPOS(), space=other, folder=tmp_path)


@pytest.mark.parametrize("make", METHODS)
def test_a_training_that_diverges_is_an_error(make):
    with pytest.raises(OneShotError, match="diverged"):
        fit(make(), optimizer=partial(torch.optim.SGD, lr=1e20))


def test_a_metric_that_is_no_number_comes_last():
    known = []

    def metric(outputs, targets):
        known.append(1)
        return float("nan") if len(known) % 3 == 0 else accuracy(outputs, targets)

    found = fit(SPOS(), metric=metric, k=6, evaluations=6, valid=loader(32, seed=1))
    assert not math.isnan(found.scores[0])
    assert math.isnan(found.scores[-1])
    assert any("is no number" in warning for warning in found.warnings)


class Named(nn.Module):
    """Takes a mapping of two tensors."""

    def __init__(self):
        super().__init__()
        self.net = Net()

    def forward(self, inputs):
        return self.net(inputs["one"] + inputs["two"])


def test_inputs_may_be_mappings():
    batches = [({"one": x, "two": torch.zeros_like(x)}, y) for x, y in loader()]
    found = SPOS().fit(
        ModelSpace(Named), batches, batches, loss=nn.CrossEntropyLoss(), optimizer=sgd, epochs=1, evaluations=2
    )
    assert all(map(math.isfinite, found.scores))


def test_scoring_leaves_the_supernet_s_statistics():
    untouched = SPOS().fit(space(), loader(), loss=nn.CrossEntropyLoss(), optimizer=sgd, epochs=2)
    scored = fit(SPOS(), train=loader(), epochs=2)
    assert same(weights(untouched), weights(scored))


def test_without_recalibration_statistics_are_those_of_the_training():
    found = fit(SPOS(), recalibrated=0)
    mean = found.supernet.inherit(found.best).stem[1].running_mean
    assert torch.equal(found.model().stem[1].running_mean, mean)


def test_a_loader_with_a_generator_of_its_own_scores_the_same_again(tmp_path):
    def once():
        train = loader(shuffle=True, generator=torch.Generator().manual_seed(9))
        return fit(SPOS(), train, folder=tmp_path)

    assert once().scores == once().scores


@pytest.mark.parametrize("name", ["epochs", "k", "evaluations", "recalibrated"])
def test_numbers_are_checked_before_anything_is_trained(name):
    with pytest.raises(OneShotError, match=f"{name} is -1"):
        fit(SPOS(), Interrupted(loader(), turn=1), **{name: -1})


def test_methods_whose_weights_rank_nothing_keep_their_own_order():
    class Unranked(DARTS):
        ranks = False

    method = Unranked(learning_rate=0.05)
    found = fit(method, k=4)
    assert found.architectures == method.best(4)
    assert "not compared" in str(found)
