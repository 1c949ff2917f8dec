"""Your own training loop: data loaders, a learning curve, several metrics, two worker processes, weights, export."""

import functools

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lanista import Experiment, FunctionalEvaluator, ModelSpace, ProcessExecutor, Trial, choice
from lanista.nn import InputChoice, LayerChoice
from lanista.strategy import Random


class Net(nn.Module):
    """(N, 1, 8, 8) images to (N, 10) logits."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        width = choice([8, 16], label="width")
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.body = LayerChoice(
            {
                "conv": lambda: nn.Conv2d(width, width, choice([3, 5], label="kernel"), padding="same"),
                "pool": lambda: nn.MaxPool2d(3, stride=1, padding=1),
            },
            label="body",
        )
        self.skip = InputChoice(2, n_chosen=None, label="skip")
        self.head = nn.Linear(width * 64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        return self.head(self.skip([x, self.body(x).relu()]).flatten(1))


@functools.cache
def loaders() -> tuple[DataLoader, DataLoader]:
    """Loaded once in each worker, not once a trial."""
    pixels, labels = (torch.tensor(part) for part in load_digits(return_X_y=True))
    data = TensorDataset(pixels.float().reshape(-1, 1, 8, 8) / 16, labels)
    train, test = torch.utils.data.random_split(data, [1400, 397], torch.Generator().manual_seed(0))
    return DataLoader(train, batch_size=64, shuffle=True), DataLoader(test, batch_size=397)


def train(model: nn.Module, trial: Trial) -> dict[str, float]:
    train_loader, test_loader = loaders()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(3):
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            correct = sum((model(images).argmax(1) == labels).sum().item() for images, labels in test_loader)
        accuracy = correct / len(test_loader.dataset)
        trial.report({"accuracy": accuracy}, step=epoch)
    return {"accuracy": accuracy, "parameters": sum(p.numel() for p in model.parameters())}


experiment = Experiment(
    ModelSpace(Net, classes=10, example_input=torch.zeros(2, 1, 8, 8)),
    FunctionalEvaluator(train, keep_weights=True),
    Random(),
    objectives={"accuracy": "maximize", "parameters": "minimize"},
    name="training-loop",
    executor=ProcessExecutor(2, time_limit=300),
)

if __name__ == "__main__":
    experiment.run(max_trials=8)
    for trial in experiment.pareto():
        print(f"{trial.metrics['accuracy']:.3f} {trial.metrics['parameters']:6.0f} {trial.architecture}")
    best = experiment.top(1)[0]
    print("learning curve:", [metrics["accuracy"] for _, metrics in experiment.curve(best)])
    print("exported to", experiment.export(best, "training_loop_model"))
