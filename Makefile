# make run     installs what is needed into .venv and runs the main job: LoRA and CoLA on AVE and AVS, embedded data
# make test    the tests, as many at a time as there are cores; `make explore` lets property tests draw new examples
# make fuzz    the readers of foreign files on 2,000 damaged files each, and on the worst ones that are known, up to a
#              quarter of an hour; `make fuzz-more`: 20,000 new ones
# make full    longer tests: official layouts, full-size adapters, several processes, runs killed again and again; minutes
# make chaos   kills, stops and starves real sweeps, and steps their clocks: KILLS=50 times, half a minute each
# make perf    measurements of speed and memory, a few minutes on a machine that does nothing else
# make gpu     what needs a GPU, in 8 minutes: its tests, CoLA against LoRA, costs of all methods; `DRY=1`: tiny, on the CPU;
#              with `MEDIA=DIR ENCODERS=DIR` then the main runs of results/natural too, into build/gpu-natural
# make natural the runs of results/natural, where `MEDIA=DIR` and `ENCODERS=DIR` are (docs/how-to/natural.md), after a
#              search for rates: hours on a CPU; `STAGE=main` does one stage, `JOBS=2` two runs at a time
# make check   the regression check against results/mini/baseline.json, minutes; `make check-defects` plants defects in it
# make docs    the documentation, into build/site; `make docs-run` trains in place of inventing measurements for its snippets
# make lint    formatting, style, types, and that no module imports one of a floor above it
PYTHON ?= python3
KILLS ?= 7
JOBS ?= 1
BIN := .venv/bin
NATURAL = $(BIN)/python results/natural/reproduce.py $(if $(MEDIA),--media "$(MEDIA)") $(if $(ENCODERS),--encoders "$(ENCODERS)")
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest

# Containers often set it. Then each process would compile torch, transformers and peft anew, for longer than it imports
# them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test full docs docs-run explore fuzz fuzz-more chaos perf gpu natural check check-defects lint clean

run: .venv/installed
	$(BIN)/python -m bench run --methods lora,cola --tasks ave,avs --jobs 2

test: .venv/installed
	$(PYTEST)

explore: .venv/installed
	$(PYTEST) --hypothesis-profile=explore

fuzz: .venv/installed
	$(PYTEST) --numprocesses=$$(getconf _NPROCESSORS_ONLN) --dist=load --hypothesis-profile=fuzz tests/fuzz

fuzz-more: .venv/installed
	$(PYTEST) --numprocesses=$$(getconf _NPROCESSORS_ONLN) --dist=load --hypothesis-profile=fuzz-more tests/fuzz

full: .venv/installed
	$(PYTEST) --numprocesses=$$(getconf _NPROCESSORS_ONLN) tests/full

chaos: .venv/installed
	KILLS=$(KILLS) $(BIN)/pytest tests/chaos

perf: .venv/installed
	$(BIN)/python -m perf

gpu: .venv/installed
	@$(BIN)/python -m perf.gpu $(if $(filter-out 0,$(DRY)),--dry)
ifneq ($(MEDIA)$(ENCODERS),)
	@$(NATURAL) --stage main --device cuda --results build/gpu-natural $(if $(filter-out 0,$(DRY)),--dry-run)
endif

natural: .venv/installed
	@OMP_NUM_THREADS=1 $(NATURAL) --jobs $(JOBS) $(if $(STAGE),--stage "$(STAGE)")

check: .venv/installed
	$(BIN)/python -m bench check

check-defects: .venv/installed
	$(BIN)/python tests/support/defects.py

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

docs-run: .venv/installed
	SNIPPETS=train $(PYTEST) tests/docs

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	rm -rf build/typed && mkdir -p build/typed/bench
	ln -sfn $(CURDIR)/bench/* $(CURDIR)/methods $(CURDIR)/datasets build/typed/bench/
	cd build/typed && ../../$(BIN)/mypy --config-file ../../pyproject.toml --package bench
	cd build/typed && PYTHONPATH=. ../../$(BIN)/lint-imports ../../pyproject.toml --no-logo --cache-dir ../imports

clean:
	rm -rf .venv

# mypy does not follow an editable installation's finder, nor does import-linter, so `lint` shows them the packages in their places.
# Bytecode is left to be made when a module is first imported: to make it for all that is installed takes minutes.
# setuptools lies in the environment, and the build uses it there: nothing is fetched that constraints.txt does not name.
.venv/installed: pyproject.toml constraints.txt packaging/backend.py
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt "setuptools>=77" wheel
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --no-build-isolation --editable ".[dev]"
	touch $@
