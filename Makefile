# Short names for the commands of CONTRIBUTING.md. `make install` once, then any of the others.
BIN := .venv/bin

.PHONY: install test lint types schema docs site serve-site lock dev release-tools sbom audit release

install:  ## a virtual environment with the locked dependencies and this checkout
	python3 -m venv .venv
	$(BIN)/pip install -q -r requirements/test.txt
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .

test:  ## the whole suite; one file: make test T=tests/unit/test_ids.py
	$(BIN)/pytest $(T)

lint:  ## lint and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types:
	$(BIN)/mypy

schema:  ## print the graph's schema and that of the settings file
	$(BIN)/vaultgraph schema > schema.graphql
	$(BIN)/vaultgraph schema settings > docs/settings.schema.json
	$(BIN)/vaultgraph schema settings --markdown > docs/configuration.md

docs:  ## the tests that compare the pages with the code
	$(BIN)/pytest -n 0 tests/unit/test_docs.py tests/unit/test_sandbox_docs.py tests/unit/test_schema_sdl.py

site:  ## the documentation as pages, in build/site; `vaultgraph dev` then shows them at /docs/
	$(BIN)/zensical build --strict

serve-site:
	$(BIN)/zensical serve

lock:  ## requirements/ from pyproject.toml, keeping pins that fit; one newer: make lock O='--upgrade-package NAME'
	scripts/lock $(O)

dev:
	$(BIN)/vaultgraph dev

release-tools:
	$(BIN)/pip install -q -r requirements/release.txt

sbom:  ## dist/sbom.cdx.json: a CycloneDX bill of materials of what an installation gets
	mkdir -p dist
	$(BIN)/cyclonedx-py requirements requirements/run.txt --pyproject pyproject.toml --output-reproducible \
	  --sv 1.6 --of JSON --validate -o dist/sbom.cdx.json

audit:  ## published advisories about these packages; fails also if a package could not be checked
	$(BIN)/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements/run.txt

release: release-tools sbom  ## the wheel, its bill of materials, and notes with the advisory check; fails on an advisory
	$(BIN)/pip wheel -q --no-deps --no-build-isolation -w dist .
	rm -f dist/audit.json
	-$(BIN)/pip-audit --require-hashes --disable-pip --progress-spinner off -f json -o dist/audit.json -r requirements/run.txt
	$(BIN)/python scripts/release_notes.py dist CHANGELOG.md
