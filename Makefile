# The two commands for a fresh machine, and a few more. Experienced users need only CMake:
#   cmake --preset cpu && cmake --build --preset cpu && ctest --preset cpu
# SPDX-License-Identifier: MIT
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help train test test-containers bench kernel-report format clean
SHELL := /bin/bash

BIN := build/cpu/bin
BUILD := cmake --build --parallel $(shell nproc) --preset
TRAIN_FLAGS ?=
TEST_FLAGS ?=
CONFIGURE_FLAGS ?=

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' Makefile

# Exported to the environment because both programs need them.
train: export TENON_DATA := $(or $(TENON_DATA),fashion-mnist)
train: export TENON_OUT := $(or $(TENON_OUT),model.safetensors)
train: export TENON_METRICS := $(or $(TENON_METRICS),model.jsonl)
train: export TENON_JSON := $(or $(TENON_JSON),report.json)
train: export TENON_REPORT := $(or $(TENON_REPORT),report.html)
train:  ## train a convolutional network on Fashion-MNIST, evaluate it, write a report
	$(if $(filter --data --data=% --out --out=% --metrics --metrics=%,$(TRAIN_FLAGS)),\
	  $(error expected --data, --out and --metrics as TENON_DATA, TENON_OUT and TENON_METRICS, got TRAIN_FLAGS=$(TRAIN_FLAGS)))
	@tools/setup train
	@case "$$TENON_DATA" in \
	  fashion-mnist | mnist) tools/find-data "$$TENON_DATA" >/dev/null || tools/fetch-data "$$TENON_DATA" ;; \
	esac
	@cmake --preset cpu -DTENON_TESTS=OFF
	@$(BUILD) cpu --target tenon-train tenon-evaluate
	$(BIN)/tenon-train $(TRAIN_FLAGS)
	$(BIN)/tenon-evaluate "$$TENON_OUT"

test:  ## build and run the tests; CONFIGURE_FLAGS are for cmake, TEST_FLAGS for ctest (with CI set, warnings are errors, and a failed test gets a second try)
	@tools/setup test
	@cmake --preset cpu $(if $(CI),-DTENON_WERROR=ON) -DTENON_TEST_TURN= $(CONFIGURE_FLAGS)
	@$(BUILD) cpu
	@ctest --preset cpu $(if $(CI),--repeat until-pass:2) $(TEST_FLAGS)

# TENON_IMAGES="cpu cuda" also builds the CUDA images, where the toolkit is: another five minutes.
test-containers:  ## build the images, run every command of docs/containers.md, check what it promises
	@tools/setup train
	@tests/containers/run $(or $(TENON_IMAGES),cpu)

bench:  ## build and run the benches: each kernel against its floor, whole epochs against peers, the cost of compiling
	@tools/setup bench
	@cmake --preset bench
	@$(BUILD) bench
	@for bench in build/bench/bin/bench_*; do case $$bench in *_steps) ;; *) $$bench || exit 1 ;; esac; done
	@bench/steps/run 1 1
	@bench/compile/run

kernel-report:  ## what each CUDA kernel asks of memory, and of the chip where nvcc is there; no GPU needed
	@tools/setup test
	@tools/kernel-report

format:  ## format all sources in place (clang-format 14)
	@tools/format

clean:  ## remove build/
	rm -rf build
