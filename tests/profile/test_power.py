import pytest
import torch
from torch import nn

from lanista.errors import LanistaError, SpaceError
from lanista.profile import Energy, energy, power
from lanista.profile.power import Board, Packages

ROW = torch.zeros(1)


@pytest.fixture
def powercap(tmp_path):
    """Two packages, one with a core domain inside; as Linux has them."""
    for zone, spent in [("intel-rapl:0", 100), ("intel-rapl:0:0", 90), ("intel-rapl:1", 900)]:
        (tmp_path / zone).mkdir()
        (tmp_path / zone / "energy_uj").write_text(f"{spent}\n")
        (tmp_path / zone / "max_energy_range_uj").write_text("1000\n")
    return tmp_path


def spend(powercap, zone, microjoules):
    path = powercap / zone / "energy_uj"
    path.write_text(str((int(path.read_text()) + microjoules) % 1000))


def test_packages_count_and_parts_of_them_do_not(powercap):
    packages = Packages(powercap)
    assert packages() == 0
    spend(powercap, "intel-rapl:0", 200)
    spend(powercap, "intel-rapl:0:0", 200)
    assert packages() == pytest.approx(200e-6)
    spend(powercap, "intel-rapl:1", 300)  # begins again at 0
    assert packages() == pytest.approx(500e-6)


def test_energy_is_that_of_one_run(powercap, monkeypatch):
    now = 0.0

    class Hungry(nn.Module):
        def forward(self, x):
            nonlocal now
            now += 0.01
            spend(powercap, "intel-rapl:0", 7)
            return x

    monkeypatch.setattr(power, "perf_counter", lambda: now)
    measured = Energy(seconds=0.1, repeats=3, powercap=str(powercap))(Hungry(), ROW)
    assert measured.value == pytest.approx(7e-6)
    assert measured.error == pytest.approx(0, abs=1e-12)
    assert measured.unit == "J"


def test_another_meter_can_be_read():
    spent = iter(range(100))
    measured = Energy(seconds=1e-9, repeats=4, counter=lambda: float(next(spent)))(nn.Identity(), ROW)
    assert measured.value == pytest.approx(1)


def test_a_machine_that_does_not_report_it_is_named(tmp_path):
    with pytest.raises(LanistaError, match=r"has no intel-rapl.*Energy\(counter"):
        Energy(powercap=str(tmp_path))(nn.Identity(), ROW)


def test_a_counter_that_may_not_be_read_says_how_to_allow_it(powercap):
    (powercap / "intel-rapl:1" / "energy_uj").unlink()
    with pytest.raises(LanistaError, match=r"intel-rapl:1.energy_uj cannot be read.*sudo chmod a\+r"):
        Packages(powercap)


def test_a_device_without_a_known_counter_is_named():
    with pytest.raises(LanistaError, match=r"'xpu'.*Energy\(counter"):
        Energy(device="xpu")(nn.Identity(), ROW)


class FakeNvml:
    """As much of NVML as is used."""

    class NVMLError(Exception):
        """What NVML raises."""

    def __init__(self, *millijoules):
        self.millijoules = iter(millijoules)

    def nvmlInit(self):
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid):
        assert uuid == "GPU-abc"
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        for found in self.millijoules:
            return found
        raise self.NVMLError("Not Supported")


class FakeGpu:
    uuid = "abc"


def test_a_board_is_read_through_nvml(monkeypatch):
    monkeypatch.setattr(power, "optional", lambda *_: FakeNvml(0, 1500, 4000))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: FakeGpu())
    board = Board(torch.device("cuda", 0))
    assert [board(), board()] == [1.5, 4.0]


def test_a_board_that_does_not_report_it_is_named(monkeypatch):
    monkeypatch.setattr(power, "optional", lambda *_: FakeNvml())
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: FakeGpu())
    with pytest.raises(LanistaError, match="NVML says of cuda:0: Not Supported"):
        Board(torch.device("cuda", 0))


@pytest.mark.parametrize("settings", [{"backend": "gpu"}, {"seconds": 0}, {"repeats": 1}, {"threads": 0}])
def test_settings_outside_of_their_range_are_named(settings):
    ((name, value),) = settings.items()
    with pytest.raises(SpaceError, match=f"{name} is {value!r}"):
        Energy(**settings)


def test_the_default_is_this_machines_cpu():
    assert energy == Energy(device="cpu")
