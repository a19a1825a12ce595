PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint docs results notebooks soak tpu-check plans bench bench_more clean

demo: $(INSTALLED)  ## train a Vision Transformer on handwritten digits and write its report
	$(BIN)/kerasdl train vit_digits

test: $(INSTALLED)  ## the whole test suite
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .

docs: $(INSTALLED)  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

results: $(INSTALLED)  ## make the tables of README and docs from docs/results/*.json
	$(BIN)/python docs/make_results.py

notebooks: $(INSTALLED)  ## make docs/notebooks/*.ipynb from the scripts beside them
	$(BIN)/jupytext --quiet --to ipynb docs/notebooks/*.py

soak: $(INSTALLED)  ## what is too long for the suite: every floor with five seeds, random kills, every case of replicas
	$(BIN)/python -m pytest -q --soak -m soak

tpu-check: $(INSTALLED)  ## every recipe's step at its real size, compiled for a TPU chip; an hour or two
	$(BIN)/python -m pytest -q --soak -m soak tests/test_plan.py

plans: $(INSTALLED)  ## the plans of docs/tpu.md; what is compiled is remembered, so it goes on where it was stopped
	$(BIN)/python -m benchmarks.plans

bench: $(INSTALLED)  ## images a second beside plain Keras, PyTorch, JAX and keras-hub; leave the machine alone meanwhile
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks.run
	$(BIN)/python -m benchmarks.gan

bench_more: bench  ## and time to accuracy, growth with the examples, replicas, folders of pictures, oracles
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
	rm -rf $(VENV) site .pytest_cache .ruff_cache
