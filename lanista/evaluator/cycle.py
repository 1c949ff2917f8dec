"""Batches over and over, the same whenever it is begun at the same place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any

import torch

from lanista.errors import EvaluatorError


def cycle(loader: Iterable[Any], start: int, seed: int) -> Iterator[Any]:
    """The batches of a loader, again from the beginning after the last, from number `start` on.

    What is drawn for them, such as their order, comes from the seed and the number of the pass. torch's global
    generator is left as it was, so that it does not matter at which number one begins.

    Raises:
        EvaluatorError: the loader gives no batch.
    """
    length = len(loader) if isinstance(loader, Sized) else None
    turn, skip = divmod(start, length) if length else (0, start)
    while True:
        state = torch.Generator().manual_seed((seed + turn) % 2**63).get_state()
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(state)
            batches = iter(loader)
            state = torch.get_rng_state()
        count = 0
        while True:
            with torch.random.fork_rng(devices=[]):
                torch.set_rng_state(state)
                batch = next(batches, batches)  # the iterator itself stands for the end
                state = torch.get_rng_state()
            if batch is batches:
                break
            count += 1
            if skip:
                skip -= 1
            else:
                yield batch
        if not count:
            raise EvaluatorError("the validation data gave no batch; give at least one")
        turn += 1
