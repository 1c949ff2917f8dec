"""The shortest search: real images (scikit-learn's digits), and networks of chosen width, depth and layers."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import lanista

images, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))


def network() -> nn.Module:
    width = lanista.choice([16, 32, 64], label="width")
    kinds = {"relu": nn.ReLU, "gelu": nn.GELU, "norm": lambda: nn.LayerNorm(width)}
    hidden = lanista.nn.Repeat(lambda: lanista.nn.LayerChoice(kinds), depth=(1, 3), label="depth")
    return nn.Sequential(nn.Linear(64, width), hidden, nn.Linear(width, 10))


def accuracy(model: nn.Module) -> float:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        nn.functional.cross_entropy(model(images[:1200].float() / 16), labels[:1200]).backward()
        optimizer.step(), optimizer.zero_grad()
    return (model(images[1200:].float() / 16).argmax(1) == labels[1200:]).float().mean().item()


evaluator = lanista.FunctionalEvaluator(accuracy)
experiment = lanista.Experiment(
    lanista.ModelSpace(network), evaluator, lanista.strategy.Random(), objectives="maximize"
)
experiment.run(max_trials=20)
print(*((trial.metrics, trial.architecture) for trial in experiment.top(3)), sep="\n")
