# SPDX-License-Identifier: BSD-3-Clause
# libmtcpshim: `make demo` and `make test` install what they need; `make` builds.
BUILD ?= build
CC ?= gcc
OPT ?= -O3
# The baseline instruction set that runs anywhere; ARCH=native for this machine only.
ARCH ?= x86-64-v2
DPDK_CFLAGS := $(shell pkg-config --cflags libdpdk 2>/dev/null)
DPDK_LIBS := $(shell pkg-config --libs libdpdk 2>/dev/null)
CFLAGS := -std=gnu11 $(OPT) -g -Wall -Wextra -Werror -Wno-unused-parameter -fPIC -fvisibility=hidden -fno-strict-aliasing -MMD -MP \
	-DALLOW_EXPERIMENTAL_API $(filter-out -march=%,$(DPDK_CFLAGS)) -march=$(ARCH) -I. $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
LDFLAGS := $(if $(SAN),-fsanitize=$(SAN))

THIN := preload calls fdtab config route log loader placeholder
THIN_OBJ := $(THIN:%=$(BUILD)/shim/%.o)
ENGINE_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard engine/*.c))
IO_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard io/*.c))
CORE_OBJ := $(filter-out $(THIN_OBJ),$(patsubst %.c,$(BUILD)/%.o,$(wildcard shim/*.c)))
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))

all: $(BUILD)/libmtcpshim.so $(BUILD)/libmtcpshim-core.so

$(BUILD)/libmtcpshim.so: $(THIN_OBJ)
	$(CC) -shared $(LDFLAGS) -o $@ $^ -ldl -Wl,-z,now
$(BUILD)/libmtcpshim-core.so: $(CORE_OBJ) $(ENGINE_OBJ) $(IO_OBJ)
	$(CC) -shared $(LDFLAGS) -o $@ $^ $(DPDK_LIBS) -lpthread -Wl,-z,now
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<
# A unit test links the engine, io and the thin library's plain parts; each names in comments what it tests.
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(ENGINE_OBJ) $(IO_OBJ) $(filter-out %/preload.o %/calls.o,$(THIN_OBJ))
	$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS) -lcmocka -ldl -lpthread
unit: $(UNIT)
	@set -e; for t in $^; do $$t; done

# Packet scripts and the two-engine simulation: in process, no root, no devices.  With SAN=address,undefined under the sanitizers.
TESTLIB_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/common/*.c))
$(BUILD)/run-scripts: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/script/*.c)) $(TESTLIB_OBJ) $(ENGINE_OBJ)
	$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS) -lcmocka
script: $(BUILD)/run-scripts
	$< tests/script/scripts
$(BUILD)/run-sim: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/sim/*.c)) $(TESTLIB_OBJ) $(ENGINE_OBJ)
	$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS) -lm
sim: $(BUILD)/run-sim
	$<

clean:
	rm -rf build build-*
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all unit script sim clean
.SECONDARY:
