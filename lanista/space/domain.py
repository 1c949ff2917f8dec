"""Domains: the sets that decisions take their values from."""

from __future__ import annotations

from typing import Any

Value = Any
"""A JSON value: None, bool, int, float, str, or a list or mapping of such."""

Architecture = dict[str, Value]
"""label -> value, for the active decisions only."""
