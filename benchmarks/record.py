"""Runs a benchmark and records its figures in docs/benchmarks.jsonl, in place of its earlier ones.

python benchmarks/record.py speed ["a machine in words"]
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

RECORD = Path(__file__).parent.parent / "docs" / "benchmarks.jsonl"

if __name__ == "__main__":
    name = sys.argv[1]
    machine = sys.argv[2] if len(sys.argv) > 2 else f"{platform.machine()}, {os.cpu_count()} cores"
    command = f"python benchmarks/{name}.py"
    run = subprocess.run([sys.executable, f"benchmarks/{name}.py"], stdout=subprocess.PIPE, text=True, check=True)
    head = {
        "command": command,
        "machine": machine,
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    earlier = RECORD.read_text().splitlines() if RECORD.exists() else []
    kept, keep = [], True
    for line in earlier:
        parsed = json.loads(line)
        keep = parsed["command"] != command if "command" in parsed else keep
        if keep:
            kept.append(line)
    figures = [line for line in run.stdout.splitlines() if '"name"' in line]
    RECORD.write_text("\n".join([*kept, json.dumps(head), *figures]) + "\n")
    print("\n".join(figures))
