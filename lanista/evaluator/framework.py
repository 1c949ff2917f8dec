"""Lightning and torchmetrics, an extra of lanista: the one place that imports them, and where they are kept quiet."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from lanista.errors import LanistaError

try:
    import lightning.pytorch as pl
    import torchmetrics
    from lightning.fabric.utilities.exceptions import MisconfigurationException
    from lightning.fabric.utilities.warnings import PossibleUserWarning
    from lightning.pytorch.utilities.model_helpers import is_overridden
    from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
except ImportError as error:
    raise LanistaError(
        f"Classification, Regression and LightningEvaluator train with Lightning, which cannot be imported ({error}); "
        "install it with: pip install 'lanista[lightning]'"
    ) from error

__all__ = ["MisconfigurationException", "is_overridden", "is_param_in_hook_signature", "pl", "quiet", "torchmetrics"]

LOGGERS = ("lightning.pytorch", "lightning.fabric", "pytorch_lightning", "lightning_fabric")
"""Loggers of Lightning, of all levels below warnings: advertisements, and what it says of devices at each start.

The last two are the packages of older names; once one of them is imported, Lightning speaks through its loggers.
"""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep back what Lightning says of each of its runs: devices, advertisements, advice on speed, deprecations.

    Its warnings about what a user's code does, and all errors, are shown.
    """
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(max(logger.level, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=PossibleUserWarning)
            warnings.filterwarnings("ignore", ".*TreeSpec", category=FutureWarning)  # lightning 2.6.6, torch 2.13
            warnings.filterwarnings("ignore", ".*TreeSpec", category=DeprecationWarning)
            warnings.filterwarnings("ignore", ".*bf16 is supported for historical reasons")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
