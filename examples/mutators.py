"""The MnasNet space as mutators on a base model, which has placeholders where its blocks will be.

Each stage has a mutator of its own, which chooses the kind of convolution, kernel size, squeeze and excitation, skip
connection, width and depth (arXiv 1807.11626; written with mutators as in Retiarii, OSDI 2020). The images are
scikit-learn's digits.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

from lanista import Experiment, FunctionalEvaluator, ModelSpace
from lanista.graph import ModelGraph, Mutator
from lanista.nn import LayerChoice, Placeholder
from lanista.strategy import RegularizedEvolution

images, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
images = images.float().view(-1, 1, 8, 8) / 16
STAGES = {"stage1": (8, 1), "stage2": (16, 2), "stage3": (32, 2)}


def base() -> nn.Module:
    """A complete model that does little: its stages are placeholders, which know their width and stride."""
    stages = [Placeholder(label, width=width, stride=stride) for label, (width, stride) in STAGES.items()]
    stem = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(outputs), nn.ReLU()]


class Excitation(nn.Module):
    """Squeeze and excitation: weighs channels by what is in all of the picture."""

    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Linear(width, int(width * ratio)), nn.Linear(int(width * ratio), width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = torch.sigmoid(self.expand(torch.relu(self.reduce(x.mean((2, 3))))))
        return x * weights[:, :, None, None]


class Block(Mutator):
    """Fills one placeholder with a number of layers, all of the kind that it chooses."""

    def mutate(self, graph: ModelGraph) -> None:
        place = graph.node(label=self.label)
        width = int(place.info["width"] * self.choice([1.0, 0.75, 1.25], label="width"))
        head = graph.node(type=nn.Linear)
        with graph.edit():  # legal only together: what follows is a placeholder yet, or the head
            place.replace(self.layer(place.inputs[0].value.shape[1], width, place.info["stride"]))
            head.update(in_features=width)
        last = first = place.insert_after(self.layer(width, width, 1))
        if self.choice({"identity": True, "none": False}, label="skip"):
            last = first.insert_after(torch.add, place)
        self.repeat(graph.between(first, last), (0, 3), label="depth")

    def layer(self, inputs: int, width: int, stride: int) -> nn.Module:
        kernel = self.choice([3, 5], label="kernel")
        ratio = self.choice([0, 0.25], label="se")

        def inverted() -> nn.Module:
            hidden = inputs * self.choice([3, 6], label="expansion")  # asked only where this is chosen
            middle = conv(hidden, hidden, kernel, stride, groups=hidden)
            return nn.Sequential(*conv(inputs, hidden, 1), *middle, *conv(hidden, width, 1)[:2])

        def separable() -> nn.Module:
            return nn.Sequential(*conv(inputs, inputs, kernel, stride, groups=inputs), *conv(inputs, width, 1)[:2])

        kinds = {
            "inverted": inverted,
            "separable": separable,
            "conv": lambda: nn.Sequential(*conv(inputs, width, kernel, stride)),
        }
        chosen = LayerChoice(kinds, label=f"{self.label}/op")
        return nn.Sequential(chosen, Excitation(width, ratio)) if ratio else chosen


def accuracy(model: nn.Module) -> float:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for batch in torch.arange(1200).split(40):
        nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimizer.step(), optimizer.zero_grad()
    return (model.eval()(images[1200:]).argmax(1) == labels[1200:]).float().mean().item()


space = ModelSpace(base, mutators=[Block(label=label) for label in STAGES], example_input=images[:2])
experiment = Experiment(
    space,
    FunctionalEvaluator(accuracy),
    RegularizedEvolution(population_size=4, sample_size=2),
    objectives="maximize",
    name="mnasnet",
)

if __name__ == "__main__":
    print(f"{space.decisions.size:,} architectures")
    experiment.run(max_trials=6)
    [best] = experiment.top(1)
    print(f"{best.metrics['score']:.3f}")
    print(*space.history(best.architecture), sep="\n")
