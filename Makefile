# Everything runs in the project's own environment: .venv, made by uv. Where uv is missing it is put into .tools.
UV := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
# Without cached bytecode every start compiles torch anew, for many seconds.
unexport PYTHONDONTWRITEBYTECODE
RUN := $(UV) run --frozen --all-extras
DEMO ?= demo

.PHONY: demo test lint docs bench floors gpu fuzz sbom setup wheel-test clean

demo: setup  ## real faces with planted faults -> curate clean -> what was found; swaps
	$(RUN) curate demo --out $(DEMO)
	$(RUN) simswap demo --out $(DEMO)/swaps

test: setup  ## every test, two files at a time
	OMP_NUM_THREADS=1 $(RUN) pytest -n 2 --dist loadfile

lint: setup  ## style and types
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy

docs: setup  ## the documentation site, in build/site
	$(RUN) python -m docs.reference
	$(RUN) mkdocs build --strict

bench: setup  ## the figures of bench/RESULTS.md; needs SWAPSET_DATA
	$(RUN) python -m bench

gpu: setup  ## every GPU path against the CPU, then throughput; exit code 1 where one differs
	$(RUN) python -m bench.gpu

floors: setup  ## ratios of CPU time that no change may fall below, bench/floors.toml
	OMP_NUM_THREADS=1 $(RUN) python -m bench.floors

fuzz: setup  ## 2,000 mutated files of every kind; finds in build/fuzz
	OMP_NUM_THREADS=1 $(RUN) python -m bench.fuzz --cases 2000

wheel-test: setup  ## the built wheel works in an empty environment
	rm -rf build/wheel && $(UV) build --wheel --out-dir build/wheel
	$(UV) venv --clear build/wheel/venv
	$(UV) export --frozen --no-dev --no-emit-project --no-hashes -o build/wheel/requirements.txt -q
	$(UV) pip install -q --python build/wheel/venv -r build/wheel/requirements.txt build/wheel/*.whl
	cd build/wheel && venv/bin/curate demo --limit 12 --out demo

sbom: setup  ## CycloneDX 1.6 and the licences of what is installed, in build/
	$(RUN) python -m docs.sbom build

setup: $(UV)
	$(UV) sync --frozen --all-extras -q

.tools/bin/uv:
	python3 -m venv .tools
	.tools/bin/python -m pip install -q uv

clean:
	rm -rf .venv .tools build dist demo
