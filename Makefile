# Every target sets up what it needs: a virtual environment in .venv with the pinned versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP_FLAGS := --disable-pip-version-check --quiet

.PHONY: demo test lint types docs bench proof proof-oneshot check clean

# A search on real images, two minutes on two cores.
demo: $(READY)
	$(BIN)/python examples/demo.py

test: $(READY)
	$(BIN)/python -m pytest -n 2

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# Writes the generated parts of the documentation; a test fails when they are not current.
docs: $(READY)
	$(BIN)/python docs/generate.py

# Speed, safety under kills, scale, draws under limits (docs/benchmarks.md, some minutes). The hub's figures: benchmarks/hub.py.
bench: $(READY)
	$(BIN)/python benchmarks/record.py speed
	$(BIN)/python benchmarks/record.py kill
	$(BIN)/python benchmarks/record.py scale
	$(BIN)/python benchmarks/record.py limits
	$(BIN)/python benchmarks/record.py oneshot
	$(BIN)/python docs/generate.py

# Proof cards (docs/proof), hours: make proof, or make proof STRATEGIES="tpe nsga2" ARGUMENTS="--seeds 50 --minutes 30".
# An interrupted one goes on where it stopped. Needs the table of NAS-Bench-201 (lanista.benchmark.nasbench201).
proof: $(READY)
	$(BIN)/python benchmarks/proof.py $(STRATEGIES) $(ARGUMENTS)
	$(BIN)/python docs/generate.py

# One-shot methods on a real supernet (docs/proof/oneshot), about an hour on two cores: make proof-oneshot, or
# make proof-oneshot METHODS="DARTS SPOS" ARGUMENTS="--seeds 1". On a GPU, at the size of the papers:
# make proof-oneshot ARGUMENTS="--size full --data cifar-10-batches-py --processes 1". Needs CIFAR-10 and the table, too.
proof-oneshot: $(READY)
	$(BIN)/python benchmarks/sharing.py $(METHODS) $(ARGUMENTS)
	$(BIN)/python docs/generate.py

# What continuous integration runs.
check: lint types test

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_FLAGS) --constraint constraints.txt --editable '.[demo,dev,onnx,lightning,samplers,benchmark]'
	touch $@

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
