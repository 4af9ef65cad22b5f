# run · test · test-all · lint · bench: each makes the environment that it needs by itself
PYTHON ?= python3
BIN := .venv/bin
RUN ?=
QUICK := -m "not slow"
# A process a core, but no more than four: each takes 1.2 GB. Which tests share a process is said in tests/conftest.py. They start in the
# order of the command line: the notebooks, which take longest, first.
PYTEST := -m pytest -q -n logical --maxprocesses 4 --no-loadscope-reorder
NOTEBOOKS := --nbval-lax --nbval-current-env --nbval-cell-timeout=300 notebooks --ignore=notebooks/reference
DEMO = GENLIB_WEIGHTS=demo GENLIB_RESULTS=$$(mktemp -d)  # for the notebooks; tests/conftest.py hides it from the tests

.PHONY: run test test-all test-colab lint bench gpu fuzz colab clean

run: .venv/installed  ## the four notebooks in order; options as in: make run RUN="--weights random --steps 2"
	$(BIN)/python -m genlib run $(RUN)

test: .venv/installed  ## before a commit: the quick tests, and the notebooks against their committed outputs
	$(DEMO) $(BIN)/python $(PYTEST) $(QUICK) $(NOTEBOOKS) tests

test-all: .venv/installed  ## before a merge: the slow tests too, then the quick ones with Colab's packages and with the lowest versions
	# Not for everyone: 165 MB for notebooks and pages in a browser, and 170 MB in which pandas keeps text once they are there.
	$(BIN)/python -m pip install -q playwright==1.65.2 pyarrow==26.0.1
	$(DEMO) $(BIN)/python $(PYTEST) $(NOTEBOOKS) tests
	$(MAKE) test-colab

test-colab: .venv-colab/installed .venv-lowest/installed  ## the part of test-all with other versions
	$(DEMO) .venv-colab/bin/python $(PYTEST) $(QUICK) $(NOTEBOOKS) tests
	.venv-lowest/bin/python $(PYTEST) $(QUICK) tests

lint: .venv/installed
	$(BIN)/ruff check .

bench: .venv/installed  ## ratios of speed and memory, each interleaved in one run; minutes on a quiet machine
	$(BIN)/python tests/bench_measure.py
	$(BIN)/python tests/bench_doctor.py
	$(BIN)/python tests/bench_stylegan2.py
	$(BIN)/python tests/bench_stylegan2.py 512,1 512,4 --pages --rounds 3
	$(BIN)/python tests/bench_stylegan2.py 512,1 --waiting --rounds 5
	$(BIN)/python tests/bench_tuned.py
	$(BIN)/python tests/bench_generate.py
	# Only OpenVINO itself, without its telemetry: nothing else in the environment changes.
	$(BIN)/python -m pip install -q --no-deps --group peers
	$(BIN)/python tests/bench_peers.py

gpu: .venv/installed  ## everything on the GPU at hand with random weights: runs and a report in notebooks/reference/
	$(BIN)/python tests/bench_gpu.py

fuzz: .venv/installed  ## damaged records, archives and network files, as long as wanted: make fuzz RUNS=100000
	$(BIN)/python tests/fuzz_records.py $(or $(RUNS),100000)
	$(BIN)/python -m pip install -q atheris
	$(BIN)/python tests/fuzz_nvidia_pickle.py -runs=$(or $(RUNS),100000)

colab:  ## write the project's address on GitHub into badges and cells: make colab REPO=owner/name
	$(PYTHON) -c "from genlib.notebook import write_address; write_address('$(REPO)')"

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "genlib needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1): try make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -r requirements.txt
	$(BIN)/python -m pip install -q --no-deps -e .
	@touch $@

.venv-%/installed: tests/%.txt
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install -q --no-deps -r tests/$*.txt
	@touch $@

clean:  ## the environments; results stay
	rm -rf .venv .venv-colab .venv-lowest
