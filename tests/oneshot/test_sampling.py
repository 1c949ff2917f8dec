import pytest
import torch

from lanista.errors import OneShotError
from lanista.oneshot import ENAS, SPOS, FairNAS, ProgressiveShrinking, RandomSharing, Sandwich, Supernet
from tests.oneshot.paths import SPACES, batch, squared

METHODS = {
    "ENAS": lambda: ENAS(samples=1),
    "FairNAS": FairNAS,
    "ProgressiveShrinking": lambda: ProgressiveShrinking(distillation=None, full=0.4),
    "RandomSharing": RandomSharing,
    "SPOS": SPOS,
    "Sandwich": lambda: Sandwich(n=1, distillation=torch.nn.functional.mse_loss),
}

UNFAIR = {("FairNAS", "normed width and rate"): "rate"}


@pytest.mark.parametrize("name", SPACES)
def test_every_method_that_trains_paths_trains_any_space(name):
    space = SPACES[name]()
    shared = Supernet(space)
    for title, make in METHODS.items():
        method = make()
        refused = UNFAIR.get((title, name))
        if refused is not None:
            with pytest.raises(OneShotError, match=refused):
                method.start(shared, steps=3)
            continue
        method.start(shared, steps=3)
        optimizer = torch.optim.SGD(shared.parameters(), 1e-3)
        for step in range(3):
            data = batch(space, step)
            assert method.step(data, data, loss=squared, optimizer=optimizer, clip=1.0) >= 0, title
        best = method.best(2)
        assert best, title
        for architecture in best:
            assert space.decisions.validate(architecture) == architecture, title
            assert not space.decisions.violations(architecture), title
            outputs = shared.inherit(architecture).eval()(batch(space)[0])
            assert outputs.isfinite().all(), title
