# Everything here runs in a virtual environment in .venv, made from the locked requirements. `make install` makes one
# of its own for the system.

PYTHON ?= python3
DURATION ?=
SCALE ?= 40
SEEDS ?= 200
START ?= 1
TRIES ?= 200
JOBS ?= 2
# Tests wait for processes and timers much of the time: more of them at once than there are processors.
TEST_JOBS ?= 3

# Where `make install` puts things; below DESTDIR, if that is given, nothing else of the system is touched.
DESTDIR ?=
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= /usr/lib/systemd/system
SYSUSERSDIR ?= /usr/lib/sysusers.d
TMPFILESDIR ?= /usr/lib/tmpfiles.d
COMPLETIONS := $(PREFIX)/share/bash-completion/completions/orderctl $(PREFIX)/share/zsh/site-functions/_orderctl \
    $(PREFIX)/share/fish/vendor_completions.d/orderctl.fish
PROGRAM := $(PREFIX)/lib/orderd
COMMANDS := orderd orderctl orderd-engine

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PACKAGES := orderd engine
CHECKED := $(PACKAGES) tests $(wildcard benchmarks examples)

LOCK := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header

# Recordings of real markets, where they are at hand.
ifndef ORDERD_TEST_DATA
ifneq ($(wildcard ../shared/data),)
export ORDERD_TEST_DATA := $(abspath ../shared/data)
endif
endif

.DEFAULT_GOAL := help
.PHONY: help run test conformance campaign simulate planted chaos damage lint bench clean lock proto install install-units uninstall

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements-dev.txt pyproject.toml
	$(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: $(READY) ## a daemon, an engine and a few clients, shown live until Ctrl-C, or for DURATION=seconds
	$(BIN)/orderctl demo $(if $(DURATION),--duration $(DURATION))

test: $(READY) ## the test suite, with real Redis clients
	.ci/redis-tools
	$(BIN)/python -m pytest -q -n $(TEST_JOBS) --dist worksteal

conformance: $(READY) ## what others wrote to test matching engines, all of it, with counts
	$(BIN)/python -m tests.conformance

campaign: $(READY) ## the suite's random and whole-system parts, SCALE=40 times as long
	ORDERD_TEST_SCALE=$(SCALE) $(BIN)/python -m pytest -q tests/link tests/journal tests/orders tests/wire tests/engine \
		tests/intake tests/client $(addprefix tests/end_to_end/test_,exactly_once.py crashes.py two_roads.py \
		snapshots.py vocabulary.py)

simulate: $(READY) ## both daemons in a simulated world: SEEDS=200 of them, or MINUTES=n, or SEED=n (TRACE=1 shows all of it)
	$(BIN)/python -m tests.simulation --jobs $(JOBS) $(if $(SEED),--seed $(SEED) $(if $(TRACE),--trace),\
	    $(if $(MINUTES),--minutes $(MINUTES),--seeds $(SEEDS)) --start $(START))

planted: $(READY) ## bugs planted in memory, and the seeds that catch them: NAME=one of them, FIND=1 searches for seeds (TRIES=200)
	$(BIN)/python -m tests.simulation.planted --jobs $(JOBS) $(if $(NAME),--name $(NAME)) $(if $(FIND),--find --tries $(TRIES))

chaos: $(READY) ## real daemons killed, starved, flooded and cut off for MINUTES=3, with a scorecard: ONLY=names, SEED=n, JSON=file
	$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),3) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) \
		$(if $(JSON),--json $(JSON))

damage: $(READY) ## every cut offset and every flipped bit of 16 KiB journals and a snapshot, with counts; JOBS=2
	$(BIN)/python -m tests.damage $(JOBS)

lint: $(READY) ## style, types, who imports whom, systemd units
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy $(CHECKED)
	$(BIN)/lint-imports
	$(BIN)/python .ci/check-seams
	.ci/check-units

bench: $(READY) ## measurements on this machine
	$(BIN)/python -m benchmarks

lock: $(READY) ## newest versions into the locked requirements
	$(LOCK) --upgrade --output-file requirements.txt
	$(LOCK) --upgrade --extra dev --constraint requirements.txt --output-file requirements-dev.txt

# The program is made beside the one that runs, and takes its place at the end: who is running it notices nothing, and an
# install that fails leaves the old one. Python is not copied; the units could not see one below /home or /root.
install: $(READY) ## program, units and settings into the system: PREFIX, SYSCONFDIR, UNITDIR, DESTDIR
	@$(PYTHON) -c 'import sys; sys.exit(sys.base_prefix.startswith(("/home/", "/root/")) and \
	    f"{sys.base_prefix} cannot be used by a service: name another Python, as in make install PYTHON=/usr/bin/python3")'
	rm -rf build "$(DESTDIR)$(PROGRAM).new" "$(DESTDIR)$(PROGRAM).old"
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir build/wheel .
	$(PYTHON) -m venv --without-pip "$(DESTDIR)$(PROGRAM).new"
	$(BIN)/python -m pip --python "$(DESTDIR)$(PROGRAM).new" install --quiet --disable-pip-version-check \
	    --no-compile --require-hashes -r requirements.txt
	$(BIN)/python -m pip --python "$(DESTDIR)$(PROGRAM).new" install --quiet --disable-pip-version-check \
	    --no-compile --no-deps --no-index build/wheel/orderd-*.whl
	"$(DESTDIR)$(PROGRAM).new/bin/python" -m compileall -q -s "$(DESTDIR)$(PROGRAM).new" -p "$(PROGRAM)" \
	    "$(DESTDIR)$(PROGRAM).new/lib"
	cd "$(DESTDIR)$(PROGRAM).new/bin" && sed -i '1s|^#!.*|#!$(PROGRAM)/bin/python|' $(COMMANDS)
	if [ -e "$(DESTDIR)$(PROGRAM)" ]; then mv "$(DESTDIR)$(PROGRAM)" "$(DESTDIR)$(PROGRAM).old"; fi
	mv "$(DESTDIR)$(PROGRAM).new" "$(DESTDIR)$(PROGRAM)"
	rm -rf "$(DESTDIR)$(PROGRAM).old"
	mkdir -p "$(DESTDIR)$(PREFIX)/bin"
	for name in $(COMMANDS); do ln -sfn "$(PROGRAM)/bin/$$name" "$(DESTDIR)$(PREFIX)/bin/$$name"; done
	for target in $(COMPLETIONS); do \
	    file=completions/$$(basename "$$target"); [ -e "$$file" ] || file=$$file.bash; \
	    if [ -e "$$file" ]; then install -D -m 644 "$$file" "$(DESTDIR)$$target"; fi; done
	for name in orderd engine; do [ -e "$(DESTDIR)$(SYSCONFDIR)/orderd/$$name.toml" ] || \
	    install -D -m 644 config/$$name.toml "$(DESTDIR)$(SYSCONFDIR)/orderd/$$name.toml"; done
	@$(MAKE) --no-print-directory install-units

# systemd looks for them again only where it runs, and only if this is the system that it runs.
install-units: ## the units and their users alone
	for unit in $(notdir $(wildcard systemd/*.service systemd/*.socket)); do \
	    sed -E 's#^(ExecStart=)/usr/bin/#\1$(PREFIX)/bin/#; s# --config /etc/# --config $(SYSCONFDIR)/#' "systemd/$$unit" | \
	    install -D -m 644 /dev/stdin "$(DESTDIR)$(UNITDIR)/$$unit" || exit 1; done
	install -D -m 644 systemd/sysusers.d/orderd.conf "$(DESTDIR)$(SYSUSERSDIR)/orderd.conf"
	install -D -m 644 systemd/tmpfiles.d/orderd.conf "$(DESTDIR)$(TMPFILESDIR)/orderd.conf"
	if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then \
	    if command -v systemd-sysusers >/dev/null; then systemd-sysusers "$(SYSUSERSDIR)/orderd.conf"; fi && \
	    if command -v systemd-tmpfiles >/dev/null; then systemd-tmpfiles --create "$(TMPFILESDIR)/orderd.conf"; fi && \
	    if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi; fi

uninstall: ## removes what install put there; settings, journals and users stay
	rm -rf "$(DESTDIR)$(PROGRAM)" "$(DESTDIR)$(PROGRAM).new"
	rm -f $(foreach name,$(COMMANDS),"$(DESTDIR)$(PREFIX)/bin/$(name)") $(foreach path,$(COMPLETIONS),"$(DESTDIR)$(path)")
	rm -f $(foreach unit,$(notdir $(wildcard systemd/*.service systemd/*.socket)),"$(DESTDIR)$(UNITDIR)/$(unit)")
	rm -f "$(DESTDIR)$(SYSUSERSDIR)/orderd.conf" "$(DESTDIR)$(TMPFILESDIR)/orderd.conf"
	if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi

proto: $(READY) ## messages and stubs of the gRPC service, made anew from orderd/wire/proto/engine.proto
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --grpclib_python_out=. --mypy_out=. \
	    --plugin=$(BIN)/protoc-gen-grpclib_python --plugin=$(BIN)/protoc-gen-mypy orderd/wire/proto/engine.proto

clean: ## removes what the other targets made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
