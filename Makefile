# `make study` and `make test` do everything on a machine with Python 3.11 or newer, make and a package registry.
PYTHON ?= python3
VENV ?= .venv
CORES ?= all
# Which build of torch: envs/install_packages.sh tells.
TORCH_INDEX ?= lock
FOLDER ?= $(CURDIR)
BIN := $(abspath $(VENV))/bin
export PATH := $(BIN):$(PATH)
export PYTHONNOUSERSITE := 1
SNAKEMAKE := snakemake --cores $(CORES)

.PHONY: study paper_subset test lint bench masks-report weights networks lock cancel_slurm clean

study: $(VENV)/installed
	$(SNAKEMAKE)

# The paper's study on real parts of its data sets, in the folder that HALFSEEN_DATA names; weights that cannot be had are
# random ones of the published layouts. IMAGES=7 takes seven images of every class; with fewer, near-duplicates leave a fold
# without a class.
paper_subset: weights
	python tests/paper_subset.py results/trial --cores $(CORES) $(if $(IMAGES),--images-per-class $(IMAGES))

test: lint weights
	python -m pytest

lint: $(VENV)/installed
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow/rules
	snakemake --lint
	snakemake --dry-run --quiet all

# The weight files that the default study and the tests use; the one step of a test that needs a network.
weights: $(VENV)/installed
	$(SNAKEMAKE) --quiet all -- fetch_all_weights

# Each benchmark writes results/bench/NAME.csv; the last command prints them as one table.
bench: weights
	python tests/bench/bench_segmentation.py
	python tests/bench/bench_extraction.py
	python tests/bench/bench_neighbors.py
	python tests/bench/bench_probes.py
	python tests/bench/bench_similarity.py
	python tests/bench/bench_study.py
	python tests/bench/bench_scale.py
	python tests/bench/bench_atlas.py
	python tests/bench/show.py

# The masks' IoU with exact ones: on drawn scenes and, where HALFSEEN_DATA names them, on real outlines. 20 minutes.
masks-report: weights
	python tests/bench/bench_masks.py

# The list of the networks that timm and torchvision can build, by which rows are checked; after an upgrade of either.
networks: $(VENV)/installed
	cd workflow && python -m halfseen.network_list resources/networks.csv

# uv only resolves here; pip installs what the file says.
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --fork-strategy fewest \
		--generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		--output-file requirements.lock

# After a Snakemake on Slurm was killed: ends the jobs that it left in the queue, and waits until they have ended.
cancel_slurm:
	jobs() { squeue --me --noheader --format '%A %j %Z' | \
		awk -v folder="$(FOLDER)" '$$2 ~ /^halfseen_/ && substr($$0, length($$1 $$2) + 3) == folder { print $$1 }'; }; \
	jobs | xargs --no-run-if-empty scancel --verbose; \
	while test -n "$$(jobs)"; do sleep 1; done

clean:
	rm -rf results .snakemake

$(VENV)/installed: requirements.lock envs/install_packages.sh
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Halfseen needs Python 3.11 or newer; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	TORCH_INDEX=$(TORCH_INDEX) sh envs/install_packages.sh $(BIN)/python
	touch $@
