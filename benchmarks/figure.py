"""How a benchmark tells a figure."""

from __future__ import annotations

import json


def emit(name: str, value: float, unit: str, limit: str = "", **details: object) -> None:
    """Print one figure as a JSON line; `record.py` keeps these."""
    figure = {"name": name, "value": round(value, 4), "unit": unit, "limit": limit, **details}
    print(json.dumps(figure), flush=True)
