from torch import nn

from lanista.draw.calls import read
from lanista.draw.kinds import Kinds, is_chain, is_small
from tests.draw.networks import Darts, mobile


def kinds_of(model, chosen=None, decisions=None):
    kinds = Kinds(read(model), chosen or {}, decisions or {})
    return kinds, {kind.name: sorted(call.path for call in kind.calls) for kind in dict.fromkeys(kinds.of.values())}


def test_cells_are_sorted_by_how_they_are_built():
    _, names = kinds_of(Darts(cells=9))
    assert names["Cell A"] == ["cells.0", "cells.1", "cells.2", "cells.5", "cells.8"]
    assert names["Cell B"] == ["cells.3", "cells.6"]
    assert names["Cell C"] == ["cells.4", "cells.7"]


def test_widths_and_kernels_make_no_kind():
    _, names = kinds_of(mobile())
    assert {name: len(paths) for name, paths in names.items()} == {"Bottleneck A": 6, "Bottleneck B": 6}


def test_what_is_there_once_is_shown_open():
    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.one(x) + self.other(x)

    _, names = kinds_of(nn.Sequential(Head(), nn.ReLU()))
    assert names == {}
    model = nn.Sequential(Head(), Head())
    assert kinds_of(model)[1] == {"Head": ["0", "1"]}
    _, names = kinds_of(nn.Sequential(Head()), {}, {})
    assert names == {}


class Both(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x, y):
        return self.one(x), self.other(y)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Both(), Both()

    def forward(self, x):
        return self.second(*self.first(x, x))[1]


def test_what_has_several_results_is_shown_open():
    assert kinds_of(Twice())[1] == {}


def test_a_candidate_has_a_panel_with_its_name():
    candidate = nn.Sequential(*(nn.ReLU() for _ in range(6)))
    model = nn.Sequential(nn.Linear(2, 2), candidate)
    _, names = kinds_of(model, {id(candidate): ["op"]}, {"op": "six"})
    assert names == {"six": ["1"]}


def test_common_decisions_stay_in_the_panel_and_others_rise():
    model = mobile()
    blocks = [module for module in model.modules() if type(module).__name__ == "Bottleneck"]
    same = {id(block): ["all"] for block in blocks}
    kinds, _ = kinds_of(model, same, {"all": 1})
    assert {kind.labels for kind in kinds.of.values()} == {("all",)}
    own = {id(block.body[3]): [f"kernel{i}"] for i, block in enumerate(blocks)}
    kinds, _ = kinds_of(model, own, {f"kernel{i}": 3 for i in range(len(blocks))})
    assert {kind.labels for kind in kinds.of.values()} == {()}
    assert sorted(label for call in kinds.of for label in kinds.labels(call)) == sorted(
        f"kernel{i}" for i in range(len(blocks))
    )


def test_chains_are_known():
    root = read(nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.ReLU()))
    assert is_chain(root) and is_small(root)
    assert not is_small(read(nn.Sequential(*(nn.ReLU() for _ in range(5)))))
    assert not is_chain(read(Darts(cells=1)))
