# `make` prints this list.

VENV ?= .venv
PYTHON ?=
DEMO_MODEL := examples/models/pydoc-llama
DEMO_PROMPT ?= The "for" statement
ROOMS := ir passes targets accelerator_model codegen runtime rtl_testbench
SOURCES := cosyn $(ROOMS) tests examples

export VENV PYTHON
# Two tests run at once, and each brings its own threads: without these they fight for the cores.
TEST_ENV := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false
BASE ?= main
PYTEST_ARGS ?= -n 2 --dist loadgroup

.PHONY: help demo fpga bench test test-full replay lint types format dev clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: ## compile the model that ships with cosyn for this CPU, and let it write a paragraph
	@scripts/environment.sh compile
	@rm -rf build/demo
	@$(VENV)/bin/cosyn compile $(DEMO_MODEL) --target cpu -o build/demo
	@echo
	@$(VENV)/bin/cosyn run build/demo --prompt '$(DEMO_PROMPT)' --max-new-tokens 160 --temperature 0.7 --top-p 0.9 --seed 4
	@echo
	@echo "Next: $(VENV)/bin/cosyn run build/demo --prompt 'A class' · $(VENV)/bin/cosyn --help · docs/quickstart.md"

fpga: ## the same model on an accelerator: program, simulation, and the RTL writes the text (installs the RTL tools)
	@scripts/environment.sh compile,rtl
	@scripts/rtl_needs.sh
	@rm -rf build/fpga
	@$(VENV)/bin/cosyn compile $(DEMO_MODEL) --target fpga:tiny --recipe w8a8 -o build/fpga
	@echo
	@$(VENV)/bin/cosyn run build/fpga --engine rtl --prompt '$(DEMO_PROMPT)' --max-new-tokens 16 --temperature 0
	@echo
	@echo "Next: $(VENV)/bin/cosyn verify build/fpga · $(VENV)/bin/cosyn inspect build/fpga --program · docs/accelerator.md"

bench: ## cosyn beside llama.cpp, OpenVINO and PyTorch on this CPU (installs them; BENCH_ARGS='--shapes 15M')
	@scripts/environment.sh compile
	@scripts/bench_needs.sh
	@$(VENV)/bin/python -m benchmarks.cpu $(BENCH_ARGS)

dev: ## make the environment for working on cosyn (editable, with the test tools)
	@scripts/environment.sh compile,rtl,test

test: test-needs lint types ## everything that CI checks: style, types, tests
	$(TEST_ENV) $(VENV)/bin/python -m pytest $(PYTEST_ARGS) -m 'not slow'

test-full: test-needs lint types ## the same with the slow tests (large shapes)
	$(TEST_ENV) $(VENV)/bin/python -m pytest $(PYTEST_ARGS)

.PHONY: test-needs
test-needs: dev
	@scripts/test_needs.sh

lint: dev ## style
	$(VENV)/bin/ruff check .

format: dev ## rewrite the sources in the house style
	$(VENV)/bin/ruff check --fix . && $(VENV)/bin/ruff format .

types: dev ## strict types
	@# The rooms are folders at the root that install as one package; this lays them out that way for mypy.
	@rm -rf build/types && mkdir -p build/types/cosyn
	@for part in cosyn/*; do ln -s "../../../$$part" build/types/cosyn/; done
	@for room in $(ROOMS); do ln -s "../../../$$room" build/types/cosyn/$$room; done
	$(VENV)/bin/mypy -p cosyn

replay: dev ## whether the code generated for a list of examples is as it was at BASE=main
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m scripts.replay --base $(BASE) $(REPLAY_ARGS)

clean: ## remove everything that was made here
	rm -rf $(VENV) build out demo-out .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
