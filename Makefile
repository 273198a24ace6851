# Mansio's everyday commands; `make help` lists them. The build itself is Meson's (meson.build).

ifeq ($(origin CC),default)
CC := gcc
endif
export CC
PREFIX ?= /usr/local
PYTHON := /usr/bin/python3
TARGET ?= all
SECONDS ?= 60
CYCLES ?= 200
CUTS ?= 100
SITES ?= 40
ACKNOWLEDGEMENTS ?= 10000

.PHONY: help run test build check bench fuzz crash torture model honesty clean install deb

help:
	@echo 'make run      install what is needed, build, and start a demo server on this machine'
	@echo 'make test     build and run every test'
	@echo 'make build    the server: build/src/proc/mansio'
	@echo 'make bench    the load generator and its figures; bench/compare, bench/growth, bench/latency --quick: more (README, Measure)'
	@echo 'make crash CYCLES=10000  kill -9 of every process under load, and a ledger of what was acknowledged'
	@echo 'make torture ROUNDS=10 CUTS=1000 SITES=200   storage calls and allocations that fail, drawn and each in turn; power cuts; the same ledger'
	@echo 'make model ROUNDS=1000   random IMAP and POP3 of eight clients against a model in memory'
	@echo 'make honesty ACKNOWLEDGEMENTS=10000   a trace of system calls: nothing is acknowledged before its sync'
	@echo 'make fuzz TARGET=name SECONDS=60   one fuzz target (or all) under libFuzzer, with clang'
	@echo 'make install PREFIX=/usr/local     copy the server and its man pages'
	@echo 'make deb      a Debian package of the server, in build-deb/'
	@echo 'make clean    remove what was built; the demo and its mail stay'

run:
	@scripts/install-dependencies build run
	@$(MAKE) --no-print-directory build/build.ninja
	@ninja -C build src/proc/mansio
	@scripts/demo

build: check build/build.ninja
	@ninja -C build --quiet

build/build.ninja:
	meson setup build --prefix $(PREFIX)

# Layers, banned functions, sizes, machine paths: seconds before any compiler starts.
check:
	@scripts/check-layers
	@scripts/check-banned
	@scripts/check-size
	@scripts/check-paths

test:
	@scripts/install-dependencies build test
	@scripts/run-tests

bench:
	@scripts/install-dependencies build run bench
	@$(MAKE) --no-print-directory build
	@bench/run

crash:
	@scripts/install-dependencies build test
	@$(MAKE) --no-print-directory build
	@$(PYTHON) tests/crash/driver.py --cycles $(CYCLES) $(if $(SEED),--seed $(SEED))

torture:
	@scripts/install-dependencies build test
	@$(MAKE) --no-print-directory build
	@$(PYTHON) tests/torture/torture.py --rounds $(or $(ROUNDS),1) --sites $(SITES) $(if $(SEED),--seed $(SEED))
	@$(PYTHON) tests/torture/every.py
	@$(PYTHON) tests/torture/powercut.py --cuts $(CUTS) $(if $(SEED),--seed $(SEED))

model:
	@scripts/install-dependencies build test
	@$(MAKE) --no-print-directory build
	@MANSIO_MODEL_ROUNDS=$(or $(ROUNDS),1000) $(PYTHON) -m pytest -c tests/pytest.ini tests/model

honesty:
	@scripts/install-dependencies build test
	@$(MAKE) --no-print-directory build
	@MANSIO_ACKNOWLEDGEMENTS=$(ACKNOWLEDGEMENTS) $(PYTHON) -m pytest -c tests/pytest.ini tests/honesty

fuzz:
	@scripts/install-dependencies build fuzz
	@scripts/fuzz $(TARGET) $(SECONDS)

# build/ may have been made for another place, by make run; the build takes over what is configured here.
install: build/build.ninja
	@meson configure build --prefix $(PREFIX)
	@$(MAKE) --no-print-directory build
	meson install -C build --no-rebuild

deb:
	@scripts/install-dependencies build deb
	@packaging/build-deb

clean:
	rm -rf build build-asan build-clients build-deb build-fuzz
