"""The shortest search: real images (scikit-learn's digits), one choice of layer, one of width, one of depth."""

import torch
from sklearn.datasets import load_digits
from torch import nn

from lanista import Experiment, FunctionalEvaluator, ModelSpace, choice
from lanista.nn import LayerChoice, Repeat
from lanista.strategy import RegularizedEvolution

images, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))


def network() -> nn.Module:
    width = choice([16, 32, 64], label="width")
    activation = LayerChoice({"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}, label="activation")
    hidden = Repeat(lambda: nn.Sequential(nn.Linear(width, width), activation), depth=(0, 3), label="depth")
    return nn.Sequential(nn.Linear(64, width), activation, hidden, nn.Linear(width, 10))


def accuracy(model: nn.Module) -> float:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[:1200].float() / 16), labels[:1200]).backward()
        optimizer.step()
    return (model(images[1200:].float() / 16).argmax(1) == labels[1200:]).float().mean().item()


space = ModelSpace(network, example_input=torch.zeros(1, 64))
strategy = RegularizedEvolution(population_size=8, sample_size=3)
experiment = Experiment(space, FunctionalEvaluator(accuracy), strategy, objectives="maximize", name="quickstart")

if __name__ == "__main__":
    experiment.run(max_trials=20)
    best = experiment.top(1)[0]
    print(f"accuracy {best.metrics['score']:.3f} with {best.architecture}")
