# SPDX-License-Identifier: BSD-3-Clause
# libmtcpshim: `make demo` and `make test` install what they need; `make` builds.  All targets: make help.
BUILD ?= build
PREFIX ?= /usr/local
export BUILD
CC ?= gcc
OPT ?= -O3
# The baseline instruction set that runs anywhere; ARCH=native for this machine only.
ARCH ?= x86-64-v2
DPDK_CFLAGS := $(shell pkg-config --cflags libdpdk 2>/dev/null)
DPDK_LIBS := $(shell pkg-config --libs libdpdk 2>/dev/null)
CFLAGS := -std=gnu11 $(OPT) -g -Wall -Wextra -Werror -Wno-unused-parameter -fPIC -fvisibility=hidden -fno-strict-aliasing -MMD -MP \
	-DALLOW_EXPERIMENTAL_API $(filter-out -march=%,$(DPDK_CFLAGS)) -march=$(ARCH) -I. $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
# TRAIN: programs that note what they do (see PROFILE).
TRAIN_FLAGS := $(if $(TRAIN),-fprofile-generate -fprofile-update=prefer-atomic)
LDFLAGS := $(if $(SAN),-fsanitize=$(SAN)) -fno-lto $(TRAIN_FLAGS)
# The core is optimised as a whole when it is linked; the tests link the same objects as they are (-fno-lto).  LTO= turns it off.
LTO ?= $(if $(SAN),,$(shell $(CC) --version 2>/dev/null | grep -q 'Free Software' && echo auto))
CORE_LDFLAGS := $(if $(LTO),-flto=$(LTO) $(OPT) -g -fPIC -march=$(ARCH) $(TRAIN_FLAGS) -Wno-stringop-overflow,$(LDFLAGS))
# Engine and core are compiled by what they were seen to do (make profile); PROFILE= turns it off.
PROFILE ?= $(if $(TRAIN),,$(LTO))

# The preloaded library: wrappers (CALLS) and plain parts, which unit tests link too.
CALLS := preload calls_io calls_file calls_sock calls_fd calls_wait calls_epoll calls_stdio calls_syscall calls_exec calls_limit signal
THIN := $(CALLS) cmsg config early fdtab fresh guard inherit install list loader log netif own placeholder pump real relay relay_exec relay_name route rules shard spawn user
THIN_OBJ := $(THIN:%=$(BUILD)/shim/%.o)
ENGINE_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard engine/*.c))
IO_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard io/*.c))
CORE_OBJ := $(filter-out $(THIN_OBJ),$(patsubst %.c,$(BUILD)/%.o,$(wildcard shim/*.c)))
TESTLIB_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/common/*.c))
UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))

all: $(BUILD)/libmtcpshim.so $(BUILD)/libmtcpshim-core.so $(BUILD)/mtcpshim-ls

# Its own calls of its wrappers stay inside (-Bsymbolic-functions): nobody interposes between them.
$(BUILD)/libmtcpshim.so: $(THIN_OBJ)
	$(CC) -shared $(LDFLAGS) -o $@ $^ -ldl -Wl,-z,now -Wl,-Bsymbolic-functions
$(BUILD)/libmtcpshim-core.so: $(CORE_OBJ) $(ENGINE_OBJ) $(IO_OBJ)
	$(CC) -shared $(CORE_LDFLAGS) -o $@ $^ $(DPDK_LIBS) -lpthread -Wl,-z,now
$(CORE_OBJ) $(ENGINE_OBJ) $(IO_OBJ): CFLAGS += $(if $(LTO),-flto -ffat-lto-objects)
# What a profile makes the compiler say besides was said, or not, without it (every SAN= build, lint).
$(CORE_OBJ) $(ENGINE_OBJ): CFLAGS += $(TRAIN_FLAGS) $(if $(PROFILE),-fprofile-use -fprofile-correction -fprofile-partial-training -Wno-missing-profile -Wno-coverage-mismatch -Wno-error)
$(CORE_OBJ) $(ENGINE_OBJ): | $(if $(PROFILE),$(BUILD)/train/done)
$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<
# The profile: the microbenchmarks, and worlds of the simulation for what goes wrong, in a build of their own that counts.  It stays until `make profile` or
# clean: code that has changed since is compiled without.  Without a profile it all works as well.
TRAINING := micro/micro micro/calls
$(BUILD)/train/done:
	@echo 'training: the engine and the core at work, for the compiler'
	@mkdir -p $(@D)
	@{ $(MAKE) --no-print-directory BUILD=$(BUILD)/train TRAIN=yes $(patsubst %,$(BUILD)/train/bench/%,$(TRAINING)) $(BUILD)/train/run-sim && \
		for program in $(TRAINING:%=bench/%) 'run-sim --worlds 60'; do $(abspath $(BUILD))/train/$$program || exit; done && \
		cd $(BUILD)/train && find engine shim -name '*.gcda' -exec cp --parents {} .. \;; } >$(@D)/log 2>&1 || \
		echo 'training: it failed, see $(@D)/log; built without'
	@touch $@
profile:
	rm -rf $(BUILD)/train $(CORE_OBJ) $(ENGINE_OBJ) $(BUILD)/libmtcpshim-core.so
	@$(MAKE) --no-print-directory $(JOBS) all
# A unit test links the engine, io, the tests' helpers and the thin library's plain parts; each names in comments what it tests.
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(TESTLIB_OBJ) $(ENGINE_OBJ) $(IO_OBJ) $(filter-out $(CALLS:%=$(BUILD)/shim/%.o),$(THIN_OBJ))
	$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS) -lcmocka -ldl -lm -lpthread
CORE_WORLD := $(patsubst %,$(BUILD)/tests/unit/core_%.o,world wire step) $(BUILD)/shim/fdtab.o
# Tests of the core bring a world of their own in the place of io/ and the preloaded library.
$(BUILD)/tests/unit/test_core_%: $(BUILD)/tests/unit/test_core_%.o $(CORE_WORLD) $(TESTLIB_OBJ) $(CORE_OBJ) $(ENGINE_OBJ)
	$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS) -lcmocka -lpthread
# Side by side with -j; -Otarget keeps what each prints together.
RUN_UNIT := $(UNIT:%=%.run)
$(RUN_UNIT): %.run: %
	@$<
unit: $(RUN_UNIT) $(if $(SAN),,thin)
# What threads do to the core, with SAN=thread in the search of races.
race: $(patsubst %,$(BUILD)/tests/unit/test_core_%,arena wait random)
	@set -e; for t in $^; do $(if $(SAN),setarch -R) $$t; done
# The preloaded library against a core without an engine, which it finds beside itself; alone/ has none.
T := $(BUILD)/tests/thin
$(T)/%.so: $(T)/%.o
	$(CC) -shared -o $@ $<
$(T)/test_thin: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/thin/symbols*.c)) $(T)/test_thin.o
	$(CC) -o $@ $^ -lcmocka -ldl -lpthread
thin: $(T)/test_thin $(T)/fakecore.so $(T)/early_malloc.so $(BUILD)/libmtcpshim.so
	@mkdir -p $(T)/alone && cp $(BUILD)/libmtcpshim.so $(T)/alone && cp $(BUILD)/libmtcpshim.so $(T)
	@cp $(T)/fakecore.so $(T)/libmtcpshim-core.so && $<

# Packet scripts and the two-engine simulation: in process, no root, no devices.  With SAN=address,undefined under the sanitizers.
$(BUILD)/run-scripts: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/script/*.c)) $(TESTLIB_OBJ) $(ENGINE_OBJ)
	$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS) -lcmocka
script: $(BUILD)/run-scripts
	$< tests/script/scripts tests/script/broken
mutants: $(BUILD)/run-scripts
	tests/script/mutants $<
$(BUILD)/run-sim: $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/sim/*.c)) $(TESTLIB_OBJ) $(ENGINE_OBJ)
	$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS) -lcmocka -lm
# make sim N=1000000 FIRST=1 for a long run on all cores, SEED=7 to replay one world.
sim: $(BUILD)/run-sim
	$< $(if $(N),--worlds $(N)) $(if $(FIRST),--first $(FIRST)) $(if $(SEED),--seed $(SEED))
# The figures are compared with those in git to the digit: make table after a change that is meant.
figures: $(BUILD)/run-sim
	$< --figures
table: $(BUILD)/run-sim
	$< --table >$(BUILD)/goodput.txt && mv $(BUILD)/goodput.txt tests/sim/goodput.txt

# Fuzzers: libFuzzer under AddressSanitizer and UBSan, by tests/fuzz/run.
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(wildcard tests/fuzz/fuzz_*.c),$(wildcard tests/fuzz/*.c)))
$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(FUZZ_OBJ) $(TESTLIB_OBJ) $(ENGINE_OBJ)
	$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(DPDK_LIBS) -lcmocka -ldl -lm
$(BUILD)/tests/fuzz/fuzz_config: $(patsubst %,$(BUILD)/shim/%.o,config rules netif real)
# What the tests' own parts do with an input is no discovery.
ifneq ($(findstring fuzzer,$(SAN)),)
$(TESTLIB_OBJ): CFLAGS += -fno-sanitize=fuzzer-no-link
endif
fuzzers: $(FUZZERS)
fuzz:
	@tests/install-deps test
	@MAKE="$(MAKE) $(JOBS)" tests/fuzz/run

# The launcher's "ls", and programs of the tests and benchmarks: plain sockets, no DPDK.
TOOLS := $(patsubst %,$(BUILD)/tests/apps/%,leash relay stress) $(patsubst %.c,$(BUILD)/%,$(wildcard bench/*.c))
$(TOOLS): $(BUILD)/%: %.c
$(BUILD)/mtcpshim-ls: shim/ls/ls.c
$(TOOLS) $(BUILD)/mtcpshim-ls:
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -g -Wall -Wextra -Werror -D_GNU_SOURCE -I. -MMD -MP -MF $@.d -o $@ $<
tools: $(TOOLS)
# The microbenchmarks: the engine, the core and the ports alone.
MICRO := $(patsubst %,$(BUILD)/bench/%,micro/micro micro/held micro/calls port/rawport)
$(BUILD)/bench/micro/micro: $(BUILD)/bench/micro/path.o
$(BUILD)/bench/micro/micro $(BUILD)/bench/micro/held: $(BUILD)/bench/micro/%: $(BUILD)/bench/micro/%.o $(BUILD)/bench/micro/pair.o $(BUILD)/tests/common/testpool.o $(ENGINE_OBJ)
	$(CC) $(CORE_LDFLAGS) -o $@ $^ $(DPDK_LIBS) -ldl -lpthread
$(BUILD)/bench/micro/calls: $(patsubst %,$(BUILD)/%.o,bench/micro/calls bench/micro/path tests/common/testpool) $(CORE_WORLD) $(CORE_OBJ) $(ENGINE_OBJ)
	$(CC) $(CORE_LDFLAGS) -o $@ $^ $(DPDK_LIBS) -lpthread
$(BUILD)/bench/port/rawport: $(BUILD)/bench/port/rawport.o $(BUILD)/engine/csum.o $(IO_OBJ)
	$(CC) $(LDFLAGS) -o $@ $^ $(DPDK_LIBS) -lpthread
micro: $(MICRO)

JOBS = $(if $(findstring -j,$(MAKEFLAGS)),,-j$(shell nproc))
# What needs packages starts a second make when they are there: the first one has already asked pkg-config.
check: unit script sim
test:
	@tests/install-deps test
	@$(MAKE) --no-print-directory $(JOBS) all tools
	@MAKE="$(MAKE) $(JOBS)" tests/all
# Every program of README's table, which README=1 writes anew; MORE=1: those that `make test` leaves out.
test-apps:
	@tests/install-deps apps
	@$(MAKE) --no-print-directory $(JOBS) all tools
	@$(if $(MORE),tests/apps/run -m,status=0; tests/apps/run -a -o $(BUILD)/programs.results || status=1; \
		tests/apps/table $(if $(README),-w) $(BUILD)/programs.results; exit $$status)
demo:
	@tests/install-deps demo
	@$(MAKE) --no-print-directory $(JOBS) all tools
	@bench/demo
# W="pingpong conns" selects; REFERENCE=1: all of it in 12 minutes, into bench/reference/.
bench:
	@tests/install-deps bench
	@$(MAKE) --no-print-directory $(JOBS) all tools micro
	@bench/ab $(if $(REFERENCE),-r) $(W)
microbench:
	@tests/install-deps bench
	@$(if $(UPDATE),$(MAKE) --no-print-directory profile)
	@$(MAKE) --no-print-directory $(JOBS) micro
	@bench/micro/run $(if $(UPDATE),-u)
posix apps cpython: all tools
	@tests/$@/run
deps:
	@tests/install-deps check

# README's tables of settings, symbols and counters are made from the lists in the code.
readme: $(BUILD)/tests/tables
	@tests/readme $<
$(BUILD)/tests/tables: tests/tables.c engine/sysctl.def engine/sysctl_other.def engine/stats.def shim/intercept.def
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O1 -Wall -Wextra -Werror -I. -D_GNU_SOURCE -o $@ $<

SOURCES := $(shell git ls-files -co --exclude-standard '*.[ch]' 2>/dev/null)
# clang compiles the fuzzers, and with them these.
FUZZED := $(wildcard engine/*.c tests/common/*.c tests/fuzz/*.c)
lint: $(BUILD)/tests/tables
	@status=0; tests/lint || status=1; tests/readme -c $< || status=1; \
	! command -v clang-format >/dev/null || clang-format --dry-run -Werror $(SOURCES) || status=1; \
	! command -v clang >/dev/null || [ -z "$(DPDK_CFLAGS)" ] || echo $(FUZZED) | xargs -P$$(nproc) -n8 clang $(filter-out -MMD -MP,$(CFLAGS)) -fsyntax-only || status=1; exit $$status
format:
	clang-format -i $(SOURCES)
install: all
	install -d $(DESTDIR)$(PREFIX)/lib $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BUILD)/libmtcpshim.so $(BUILD)/libmtcpshim-core.so $(DESTDIR)$(PREFIX)/lib
	install -m 755 shim/mtcpshim $(BUILD)/mtcpshim-ls $(DESTDIR)$(PREFIX)/bin
clean:
	rm -rf build build-*
help:
	@echo 'make            build the two libraries into $(BUILD)/'
	@echo 'make profile    the same, by a new profile of the code as it is; PROFILE= builds without one'
	@echo 'make demo       iperf3 over Linux and over the shim, one table'
	@echo 'make test       every test (make check: unit, script and sim only, no root, seconds)'
	@echo 'make test-apps  every program that is known to work, and the table of them (README=1: into README.md; MORE=1: what make test left out); installs 45 packages'
	@echo 'make bench      A/B benchmarks, report with plots, 40 minutes; W="pingpong conns" selects, bench/ab -l lists'
	@echo 'make microbench ns and instructions of each step; UPDATE=1 writes the counts into bench/instructions.txt'
	@echo 'make cpython     CPython'\''s own tests on the engine'\''s loopback; ALL=1: every module, ten minutes'
	@echo 'make posix|apps|unit|script|sim   one kind of test; make race SAN=thread BUILD=dir: the core among threads'
	@echo 'make fuzz       FUZZ_SECONDS=3600: each fuzzer for that long, one on each core'
	@echo 'make install    PREFIX=$(PREFIX), DESTDIR='
	@echo 'make lint|format|readme|deps|clean'
	@echo 'SAN=address,undefined and BUILD=dir: a sanitizer build; OPT=-O0, ARCH=native, CC=clang'

ifeq ($(DPDK_LIBS)$(filter test test-apps demo bench microbench fuzz deps clean lint format help readme tools,$(MAKECMDGOALS)),)
$(error libdpdk is not installed: `make deps` as root installs it)
endif
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
.PHONY: all profile unit $(RUN_UNIT) race thin script mutants sim figures table fuzz fuzzers check test test-apps demo bench posix apps deps tools readme lint format install clean help micro microbench cpython
.SECONDARY:
