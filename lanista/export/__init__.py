"""Export: any model as plain PyTorch source code and weights."""

from lanista.export.folder import write_folder

__all__ = ["write_folder"]
