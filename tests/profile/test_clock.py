import pytest
import torch
from torch import nn

from lanista.errors import SpaceError
from lanista.profile import Latency, Measurement, clock, latency


class Clock:
    """Time that passes only while a model runs, by as much as `times` says, the last for ever."""

    def __init__(self, *times):
        self.now, self.times, self.runs = 0.0, list(times), 0

    def __call__(self):
        return self.now

    def model(self):
        module = nn.Identity()
        module.register_forward_hook(self.tick)
        return module

    def tick(self, *_):
        self.now += self.times[min(self.runs, len(self.times) - 1)]
        self.runs += 1


@pytest.fixture
def timed(monkeypatch):
    def make(*times):
        fake = Clock(*times)
        monkeypatch.setattr(clock, "perf_counter", fake)
        return fake

    return make


ROW = torch.zeros(1)


def test_the_median_and_half_the_spread_of_the_middle_half_come_back(timed):
    # One run to start with, three to warm up; then five blocks of a run each.
    fake = timed(16, 1, 1, 1, 4, 1, 2, 8, 6)
    assert Latency(repeats=5, warmup=100)(fake.model(), ROW) == Measurement(4000.0, 2000.0, "ms")
    assert fake.runs == 9


def test_it_warms_up_until_times_are_steady(timed):
    fake = timed(9, 5, 4, 3, 2, 1, 1.01, 1.0, 7)
    assert Latency(repeats=2, warmup=100)(fake.model(), ROW).value == pytest.approx(7000)
    assert fake.runs == 8 + 2


def test_a_warm_up_ends(timed):
    fake = timed(*range(1, 1000))
    Latency(repeats=2, warmup=50)(fake.model(), ROW)
    assert fake.now < 100


def test_fast_models_run_in_blocks(timed):
    fake = timed(1e-5)
    value = Latency(repeats=3, warmup=1)(fake.model(), ROW)
    assert value.value == pytest.approx(0.01)
    assert value.error == pytest.approx(0, abs=1e-12)
    assert fake.runs >= 3 * clock.BLOCK / 1e-5


def test_it_is_about_evaluation_without_gradients_on_the_threads_asked_for():
    seen = set()

    class Watched(nn.Module):
        def forward(self, x):
            seen.add((self.training, torch.is_grad_enabled(), torch.get_num_threads()))
            return x

    Latency(repeats=2, warmup=0, threads=2)(Watched(), ROW)
    assert seen == {(False, False, 2)}


@pytest.mark.parametrize(
    "settings",
    [
        {"backend": "tensorrt"},
        {"warmup": -1},
        {"warmup": float("nan")},
        {"repeats": 1},
        {"repeats": 2.5},
        {"threads": 0},
    ],
)
def test_settings_outside_of_their_range_are_named(settings):
    ((name, value),) = settings.items()
    with pytest.raises(SpaceError, match=f"{name} is {value!r}"):
        Latency(**settings)


def test_the_default_is_the_cpu_as_it_is():
    assert latency == Latency("eager", "cpu", threads=None)
    assert latency.parts(nn.Identity(), ROW) is None
