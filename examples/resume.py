"""A search that is killed goes on where it stopped: no trial is lost, none is run twice."""

import os
import signal
import subprocess
import sys

from torch import nn

from lanista import Experiment, FunctionalEvaluator, ModelSpace, Trial, choice
from lanista.strategy import RegularizedEvolution


def network() -> nn.Module:
    widths = [choice([4, 8, 16, 32], label=f"width {i}") for i in range(4)]
    return nn.Sequential(*(nn.Linear(a, b) for a, b in zip([8, *widths], [*widths, 2], strict=True)))


def score(model: nn.Module, trial: Trial) -> float:
    if "--die-at" in sys.argv and trial.number == int(sys.argv[-1]):
        os.kill(os.getpid(), signal.SIGKILL)  # nothing can be cleaned up after this
    return sum(p.numel() for p in model.parameters())


experiment = Experiment(
    ModelSpace(network),
    FunctionalEvaluator(score),
    RegularizedEvolution(population_size=8, sample_size=3),
    objectives="minimize",
    name="resume",
)

if __name__ == "__main__":
    if "--die-at" not in sys.argv:
        for number in ("5", "13"):
            subprocess.run([sys.executable, __file__, "--die-at", number], check=False)
            print(f"killed in trial {number}; stored so far: {len(experiment.trials)} trials, the last one unfinished")
    experiment.run(max_trials=30)
    states = {trial.state.value for trial in experiment.trials}
    print(f"{len(experiment.trials)} trials, all {', '.join(states)}; best: {experiment.top(1)[0].architecture}")
