"""At most 5,000 parameters and 4,000 multiply-adds: architectures beyond that are never trained, nor drawn."""

import torch
from sklearn.datasets import load_digits
from torch import nn

from lanista import Experiment, FunctionalEvaluator, ModelSpace, choice
from lanista.nn import Repeat
from lanista.profile import macs, parameters
from lanista.strategy import Deduplicated, RegularizedEvolution

images, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))


def network() -> nn.Module:
    width = choice([8, 16, 32, 64, 128], label="width")
    hidden = Repeat(lambda: nn.Sequential(nn.Linear(width, width), nn.ReLU()), depth=(0, 4), label="depth")
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), hidden, nn.Linear(width, 10))


def accuracy(model: nn.Module) -> dict[str, float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[:1200].float() / 16), labels[:1200]).backward()
        optimizer.step()
    correct = (model(images[1200:].float() / 16).argmax(1) == labels[1200:]).float().mean().item()
    return {"accuracy": correct, "parameters": parameters(model).value}


space = ModelSpace(network, example_input=torch.zeros(1, 64)).constrain(parameters <= 5_000, macs <= 4_000)

experiment = Experiment(
    space,
    FunctionalEvaluator(accuracy),
    Deduplicated(RegularizedEvolution(population_size=5, sample_size=2)),
    objectives={"accuracy": "maximize"},
    name="constraint",
)

if __name__ == "__main__":
    print(space.explain(parameters, macs))
    experiment.run(max_trials=12)
    for trial in experiment.top(3):
        print(f"{trial.metrics['accuracy']:.3f} {trial.metrics['parameters']:.0f} parameters: {trial.architecture}")
