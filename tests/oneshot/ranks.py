"""Searches by one process, or by several with a part of each batch: `python -m tests.oneshot.ranks FOLDER RANK`."""

import sys
from pathlib import Path

import torch
from torch import distributed, nn

from lanista import ModelSpace
from lanista.nn import InputChoice, LayerChoice, Repeat
from lanista.oneshot import (
    DARTS,
    ENAS,
    GDAS,
    PCDARTS,
    SPOS,
    DrNAS,
    FairNAS,
    FBNet,
    ProgressiveShrinking,
    ProxylessNAS,
    RandomSharing,
    Sandwich,
    Supernet,
)
from lanista.oneshot.reduction import average, processes

METHODS = {
    "DARTS": lambda: DARTS(learning_rate=0.05),
    "DARTS of second order": lambda: DARTS(order=2, learning_rate=0.05),
    "DrNAS": lambda: DrNAS(learning_rate=0.05),
    "ENAS": lambda: ENAS(learning_rate=0.05),
    "FBNet": lambda: FBNet(learning_rate=0.05),
    "FairNAS": FairNAS,
    "GDAS": lambda: GDAS(learning_rate=0.05),
    "PCDARTS": lambda: PCDARTS(learning_rate=0.05),
    "ProgressiveShrinking": ProgressiveShrinking,
    "ProxylessNAS": lambda: ProxylessNAS(learning_rate=0.05),
    "RandomSharing": RandomSharing,
    "SPOS": SPOS,
    "Sandwich": Sandwich,
}

SIZE, STEPS, BATCH = 2, 4, 8


class Net(nn.Module):
    def __init__(self, norm=None):
        super().__init__()
        options = {
            "linear": self._linear,
            "tanh": lambda: nn.Sequential(self._linear(), nn.Tanh()),
            "skip": nn.Identity,
        }
        self.first, self.second = LayerChoice(options, label="first"), LayerChoice(options, label="second")
        self.blocks = Repeat(self._linear, (1, 2), label="depth")
        self.inputs = InputChoice(3, 2, label="inputs")
        self.norm = nn.Identity() if norm is None else norm(4)
        self.head = nn.Linear(4, 3)

    def _linear(self):
        return nn.Linear(4, 4)

    def forward(self, x):
        first = self.first(x)
        second = self.second(self.blocks(first))
        return self.head(self.norm(self.inputs([x, first, second])))


def cross_entropy(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def batch(seed, part):
    """The part of a batch that a process gets."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(BATCH, 4, generator=generator)
    classes = torch.randint(3, (BATCH,), generator=generator)
    return inputs[part], classes[part]


def search(method, part, norm=None, steps=STEPS):
    """What becomes of weights and method, and what each step trained."""
    torch.set_default_dtype(torch.float64)  # rounding must not look like a difference
    try:
        return _search(method, part, norm, steps)
    finally:
        torch.set_default_dtype(torch.float32)


def _search(method, part, norm, steps):
    torch.manual_seed(0)
    shared = Supernet(ModelSpace(Net, norm, example_input=torch.zeros(2, 4)))
    optimizer = torch.optim.SGD(shared.parameters(), 0.1, momentum=0.9)
    method.start(shared, steps=STEPS)
    trained = []
    for step in range(steps):
        train, valid = batch(2 * step, part), batch(2 * step + 1, part)
        method.step(train, valid, loss=cross_entropy, optimizer=optimizer, clip=1.0)
        trained.append([name for name, weight in shared.named_parameters() if weight.grad is not None])
    return {
        "weights": shared.state_dict(),
        "method": method.state_dict(),
        "strengths": method.strengths(),
        "best": method.best(),
        "trained": trained,
    }


def own_part(rank):
    return slice(rank * BATCH // SIZE, (rank + 1) * BATCH // SIZE)


def main(folder, rank):
    distributed.init_process_group("gloo", init_method=(folder / "store").as_uri(), rank=rank, world_size=SIZE)
    assert processes() == SIZE
    part = own_part(rank)
    found = {name: search(make(), part) for name, make in METHODS.items()}
    found["norms"] = search(SPOS(), part, nn.BatchNorm1d)
    found["norms of a step"] = search(SPOS(), part, nn.BatchNorm1d, 1)
    numbers = [torch.full((2,), 1.0 + rank, dtype=kind) for kind in (torch.float64, torch.float32, torch.bfloat16)]
    numbers[0] += 1e-12
    average(numbers)
    average([])
    torch.save({**found, "numbers": numbers}, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
