"""Export: any model as plain PyTorch source code and weights, as ONNX, and as `.pt2`."""

from lanista.export.folder import FORMATS, write_folder
from lanista.export.onnx import write_onnx
from lanista.export.pt2 import write_pt2

__all__ = ["FORMATS", "write_folder", "write_onnx", "write_pt2"]
