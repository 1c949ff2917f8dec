"""At most 5,000 parameters: architectures that are larger are never trained."""

import torch
from sklearn.datasets import load_digits
from torch import nn

from lanista import Experiment, FunctionalEvaluator, ModelSpace, choice
from lanista.nn import Repeat
from lanista.space import Architecture
from lanista.strategy import Deduplicated, Filtered, RegularizedEvolution

LIMIT = 5_000
images, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))


def network() -> nn.Module:
    width = choice([8, 16, 32, 64, 128], label="width")
    hidden = Repeat(lambda: nn.Sequential(nn.Linear(width, width), nn.ReLU()), depth=(0, 4), label="depth")
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), hidden, nn.Linear(width, 10))


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def accuracy(model: nn.Module) -> dict[str, float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[:1200].float() / 16), labels[:1200]).backward()
        optimizer.step()
    correct = (model(images[1200:].float() / 16).argmax(1) == labels[1200:]).float().mean().item()
    return {"accuracy": correct, "parameters": parameters(model)}


space = ModelSpace(network)


def small_enough(architecture: Architecture) -> bool:
    with torch.device("meta"):  # sizes without weights
        return parameters(space.build(architecture)) <= LIMIT


experiment = Experiment(
    space,
    FunctionalEvaluator(accuracy),
    Deduplicated(Filtered(RegularizedEvolution(population_size=5, sample_size=2), small_enough)),
    objectives={"accuracy": "maximize"},
    name="constraint",
)

if __name__ == "__main__":
    experiment.run(max_trials=12)
    for trial in experiment.top(3):
        print(f"{trial.metrics['accuracy']:.3f} {trial.metrics['parameters']:.0f} parameters: {trial.architecture}")
