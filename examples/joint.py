"""Architecture and learning rate searched together: the evaluator asks questions too."""

import functools

import torch
from sklearn.datasets import load_digits
from torch import nn

from lanista import Experiment, FunctionalEvaluator, ModelSpace, choice, integer, real
from lanista.strategy import RegularizedEvolution

images, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))


def network() -> nn.Module:
    width = integer(8, 64, log=True, label="width")
    activation = choice({"relu": nn.ReLU, "silu": nn.SiLU}, label="activation")
    return nn.Sequential(nn.Linear(64, width), activation(), nn.Linear(width, 10))


def accuracy(model: nn.Module, *, lr: float, optimizer: type[torch.optim.Optimizer]) -> float:
    optimize = optimizer(model.parameters(), lr=lr)
    for _ in range(20):
        optimize.zero_grad()
        nn.functional.cross_entropy(model(images[:1200].float() / 16), labels[:1200]).backward()
        optimize.step()
    return (model(images[1200:].float() / 16).argmax(1) == labels[1200:]).float().mean().item()


def evaluator() -> FunctionalEvaluator:
    """Built anew for each trial, with the trial's answers."""
    lr = real(1e-4, 1e-1, log=True, label="lr")
    optimizer = choice({"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}, label="optimizer")
    return FunctionalEvaluator(functools.partial(accuracy, lr=lr, optimizer=optimizer))


experiment = Experiment(
    ModelSpace(network),
    evaluator,
    RegularizedEvolution(population_size=10, sample_size=4),
    objectives="maximize",
    name="joint",
)

if __name__ == "__main__":
    experiment.run(max_trials=40)
    for trial in experiment.top(3):
        print(f"{trial.metrics['score']:.3f} {trial.architecture}")
