"""`Distillation`: sub-networks learn what a larger one says, while the user's own loss runs them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from lanista.errors import OneShotError
from lanista.oneshot.method import Loss

logger = logging.getLogger("lanista")

Likeness: TypeAlias = Callable[[Any, Any], Tensor]
"""Called with what a student and what its teacher gave for the same inputs; returns a loss, a scalar."""

Distilling: TypeAlias = Literal["auto", "soft"] | Likeness | None
"""How students learn from a teacher: by soft labels, also only where there are classes, by a function of one's own, or
not at all."""


def soft(student: Tensor, teacher: Tensor) -> Tensor:
    """The cross-entropy of the student's probabilities by the teacher's (https://arxiv.org/abs/1503.02531).

    Args:
        student: logits of shape (batch, classes, ...).
        teacher: likewise.
    """
    return -(teacher.softmax(1) * student.log_softmax(1)).sum(1).mean()


class Distillation:
    """Takes note of what a teacher gives, and makes students learn it.

    What models give is seen as they are called, so the user's loss needs to know nothing. It must give a student the
    inputs that it gave the teacher: no random augmentation within the loss.

    Args:
        kind: "soft": the teacher's probabilities are the labels, for models that give logits of shape (batch, classes,
            ...) with at least two classes; None: students learn from the loss alone; "auto": the one for batches
            (inputs, targets) whose targets are classes of the outputs, integers of shape (batch, ...), and the other
            for all else; or a function of the student's and the teacher's output.

    Raises:
        OneShotError: `kind` is none of these.
    """

    def __init__(self, kind: Distilling) -> None:
        if kind not in ("auto", "soft", None) and not callable(kind):
            raise OneShotError(
                f"distillation is {kind!r}; give 'auto', 'soft', None, or a function of the student's and the "
                "teacher's output"
            )
        self._auto = kind == "auto"
        self._likeness: Likeness | None = _soft if isinstance(kind, str) else kind
        self._taught: list[Any] = []
        self._told = False

    def teach(self, model: nn.Module, loss: Loss, batch: Any) -> Tensor:
        """The loss of the teacher, whose outputs are kept."""
        value, outputs = _watched(model, loss, batch)
        self._taught = pytree.tree_map_only(Tensor, Tensor.detach, outputs)
        return value

    def learn(self, model: nn.Module, loss: Loss, batch: Any, *, hard: float = 0.0) -> Tensor:
        """The loss of a student, on the batch that the teacher had.

        Args:
            model: the student.
            loss: the user's.
            batch: as the teacher had it.
            hard: weight of the user's loss, beside the likeness.

        Raises:
            OneShotError: the loss does not call the model as it called the teacher, or the outputs are no logits.
        """
        if self._likeness is None:
            return loss(model, batch)
        value, outputs = _watched(model, loss, batch)
        if self._auto and not _are_classes(batch, outputs):
            if not self._told:
                logger.info("targets are no classes of the outputs: no soft labels, and all learn from the loss")
            self._told = True
            return value
        if not outputs or len(outputs) != len(self._taught):
            raise OneShotError(
                f"the loss called the teacher {len(self._taught)} times and the student {len(outputs)} times; to "
                "distil, it must call model(...) itself, and as often for each; or give distillation=None"
            )
        pairs = zip(outputs, self._taught, strict=True)
        likeness = torch.stack([self._likeness(student, teacher) for student, teacher in pairs]).mean()
        return likeness + hard * value if hard else likeness


def _soft(student: Any, teacher: Any) -> Tensor:
    for output in (student, teacher):
        if not isinstance(output, Tensor) or output.dim() < 2 or output.shape[1] == 1:  # of one class all are sure
            known = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
            raise OneShotError(
                f"the model gives {known}, and soft labels are for logits of shape (batch, classes, ...) with at least "
                "two classes; give distillation=None, or a function of the student's and the teacher's output, such "
                "as torch.nn.functional.mse_loss"
            )
    return soft(student, teacher)


def _are_classes(batch: Any, outputs: list[Any]) -> bool:
    """Whether the targets of a batch (inputs, targets) are classes, of which each of the outputs has several logits."""
    targets = batch[1] if isinstance(batch, list | tuple) and len(batch) == 2 else None
    if not isinstance(targets, Tensor) or targets.is_floating_point() or targets.is_complex():
        return False
    return bool(outputs) and all(
        isinstance(output, Tensor)
        and output.dim() > 1
        and output.shape[1] > 1
        and output.shape[:1] + output.shape[2:] == targets.shape
        for output in outputs
    )


def _watched(model: nn.Module, loss: Loss, batch: Any) -> tuple[Tensor, list[Any]]:
    """The loss, and what the model gave each time that it was called."""
    outputs: list[Any] = []
    handle = model.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    try:
        return loss(model, batch), outputs
    finally:
        handle.remove()
