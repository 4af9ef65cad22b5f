# run · test · test-colab · lint · bench: each makes the environment that it needs by itself
PYTHON ?= python3
BIN := .venv/bin
RUN ?=
QUICK := -m "not slow"  # once is enough of what takes long and depends little on versions

.PHONY: run test test-colab lint bench gpu fuzz colab clean

run: .venv/installed  ## the four notebooks in order; options as in: make run RUN="--weights random --steps 2"
	$(BIN)/python -m genlib run $(RUN)

test: .venv/installed  ## unit tests, then the notebooks against their committed outputs
	$(BIN)/python -m pytest -q
	GENLIB_WEIGHTS=demo GENLIB_RESULTS=$$(mktemp -d) $(BIN)/python -m pytest -q --nbval-lax --nbval-current-env \
		--nbval-cell-timeout=300 -p no:cacheprovider notebooks

test-colab: .venv-colab/installed .venv-lowest/installed  ## the same with Colab's packages, then the unit tests with the lowest versions
	.venv-colab/bin/python -m pytest -q $(QUICK)
	GENLIB_WEIGHTS=demo GENLIB_RESULTS=$$(mktemp -d) .venv-colab/bin/python -m pytest -q --nbval-lax --nbval-current-env \
		--nbval-cell-timeout=300 -p no:cacheprovider notebooks
	.venv-lowest/bin/python -m pytest -q $(QUICK)

lint: .venv/installed
	$(BIN)/ruff check .

bench: .venv/installed  ## ratios of speed and memory, each interleaved in one run; minutes on a quiet machine
	$(BIN)/python tests/bench_measure.py
	$(BIN)/python tests/bench_doctor.py
	$(BIN)/python tests/bench_stylegan2.py
	$(BIN)/python tests/bench_stylegan2.py 512,1 512,4 --pages --rounds 3
	$(BIN)/python tests/bench_tuned.py
	$(BIN)/python tests/bench_generate.py

gpu: .venv/installed  ## everything on the GPU at hand with random weights: runs and a report in notebooks/reference/
	$(BIN)/python tests/bench_gpu.py

fuzz: .venv/installed  ## damaged network files, as long as wanted: make fuzz RUNS=100000
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
