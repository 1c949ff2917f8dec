"""Edits of whole models as `torch.fx` graphs."""
