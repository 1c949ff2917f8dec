"""Training without a loop of one's own: Lightning trains, TPE proposes, ASHA stops what is poor.

The search trains for 3 epochs. Is that enough to tell architectures apart? `trust` trains some of them for 8.
"""

import functools

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from lanista import Experiment, ModelSpace, choice, real
from lanista.evaluator import Classification, retrain
from lanista.nn import Repeat
from lanista.scheduler import ASHA
from lanista.strategy import TPE

PIXELS, DIGITS = (torch.tensor(part) for part in load_digits(return_X_y=True))


def network() -> nn.Module:
    """(N, 64) pixels to (N, 10) scores."""
    width = choice([8, 16, 32, 64], label="width")
    activation = choice({"relu": nn.ReLU, "gelu": nn.GELU, "tanh": nn.Tanh}, label="activation")
    body = Repeat(lambda index: nn.Sequential(nn.Linear(width, width), activation()), depth=(0, 3), label="depth")
    return nn.Sequential(nn.Linear(64, width), activation(), body, nn.Linear(width, 10))


def train_data() -> DataLoader:  # called once in each process, not once for each trial
    return DataLoader(TensorDataset(PIXELS[:1200].float() / 16, DIGITS[:1200]), batch_size=64, shuffle=True)


def validation_data() -> DataLoader:
    return DataLoader(TensorDataset(PIXELS[1200:].float() / 16, DIGITS[1200:]), batch_size=256)


def evaluator(epochs: int) -> Classification:
    """Learning rate and weight decay are searched together with the architecture."""
    return Classification(
        train_data,
        validation_data,
        optimizer=torch.optim.AdamW,
        learning_rate=real(1e-3, 3e-2, log=True, label="learning rate"),
        weight_decay=real(1e-4, 1e-1, log=True, label="weight decay"),
        max_epochs=epochs,
        val_check_interval=0.5,  # two reports for each epoch
    )


experiment = Experiment(
    ModelSpace(network, example_input=torch.zeros(1, 64)),
    functools.partial(evaluator, 3),
    TPE(),
    objectives={"val_accuracy": "maximize"},
    name="classification",
    scheduler=ASHA(max_resource=6, min_resource=2, reduction_factor=2),
    reference=functools.partial(evaluator, 8),
)

if __name__ == "__main__":
    experiment.run(max_trials=24)
    for trial in experiment.top(3):
        print(f"{trial.metrics['val_accuracy']:.3f} {trial.architecture}")
    print(experiment.trust())
    best = experiment.top(1)[0]
    final = retrain(experiment.space, best.architecture, functools.partial(evaluator, 8), folder="final")
    print(f"trained for 8 epochs: {final.metrics['val_accuracy']:.3f}")
