# SPDX-License-Identifier: Apache-2.0
# mixprof: one Makefile, all outputs under build/. `make V=1` shows commands.

VERSION := 0.1.0
BUILD ?= build
PREFIX ?= /usr/local
CC ?= gcc
CLANG ?= clang
# Ubuntu's /usr/sbin/bpftool refuses unless it was built for the running kernel: take one that works.
BPFTOOL ?= $(shell for tool in bpftool /usr/sbin/bpftool /usr/lib/linux-tools/*/bpftool; do \
	$$tool version > /dev/null 2>&1 && { echo $$tool; exit; }; done; echo bpftool)
ARCH := $(shell uname -m)

ifeq ($(V),1)
Q :=
say = @true
else
Q := @
say = @printf '  %-7s %s\n' $(1) $(2)
endif

WARNINGS := -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes \
	-Wno-missing-field-initializers -Werror
OPTIMIZE ?= -O2 -g
SANITIZE ?=
CPPFLAGS += -D_GNU_SOURCE -DMIXPROF_VERSION='"$(VERSION)"' -Iinclude -Isrc -I$(BUILD)/gen
CFLAGS += -std=gnu17 $(OPTIMIZE) $(WARNINGS) $(SANITIZE) -fno-strict-aliasing -pthread
LDLIBS += $(shell pkg-config --libs libbpf libelf libzstd) -lz -lxxhash -liberty -lm
LDFLAGS += $(SANITIZE) -pthread

LIB_SRC ?= $(filter-out src/main.c,$(wildcard src/*.c src/*/*.c src/*/*/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/unit/%,$(wildcard tests/unit/test_*.c))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all unit-tests fuzz-targets check check-root check-vm check-full lint static bench fuzz \
	install clean compile_commands.json

all: $(BUILD)/mixprof

$(BUILD)/mixprof: $(BUILD)/src/main.o $(BUILD)/libmixprof.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/libmixprof.a: $(LIB_OBJ)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# BPF: one object per file, pinned CPU version; the skeleton carries it into the binary.
BPF_ARCH := $(patsubst x86_64,x86,$(patsubst aarch64,arm64,$(ARCH)))
BPF_CFLAGS := -target bpf -mcpu=v3 -g -O2 -Wall -Wextra -Werror -Wno-unused-parameter \
	-D__TARGET_ARCH_$(BPF_ARCH) -Iinclude -Ibpf -idirafter /usr/include/$(ARCH)-linux-gnu

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MF $(@:.o=.d) -c -o $@ $<

$(BUILD)/gen/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

$(BUILD)/src/collect/bpf_session.o: $(BUILD)/gen/sampler.skel.h
$(BUILD)/src/collect/system_probe.o: $(BUILD)/gen/feature_probe.skel.h
$(BUILD)/src/unwind/host_walk.o: CPPFLAGS += -Ibpf
$(BUILD)/src/output/export_html.o: $(wildcard src/output/viewer/*)

$(BUILD)/tests/unit/%: tests/unit/%.c $(BUILD)/libmixprof.a
	$(call say,TEST,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) -Itests $(CFLAGS) -MMD -MP -MF $@.d $(LDFLAGS) -o $@ $< \
		$(BUILD)/libmixprof.a $(LDLIBS) -lcmocka

# Allocations of this test, and of the library in it, fail at will (tests/unit/alloc_failure.h).
COMMA := ,
WRAPPED := malloc calloc realloc reallocarray aligned_alloc free strdup strndup asprintf \
	open_memstream ZSTD_createCCtx ZSTD_createDCtx ZSTD_compressStream2 ZSTD_decompressStream
$(BUILD)/tests/unit/test_alloc_failure: LDFLAGS += $(WRAPPED:%=-Wl$(COMMA)--wrap=%)

unit-tests: $(UNIT_TESTS)

$(BUILD)/tests/tools/%: tests/tools/%.c $(BUILD)/libmixprof.a
	$(call say,TOOL,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -MF $@.d $(LDFLAGS) -o $@ $< $(BUILD)/libmixprof.a $(LDLIBS)

# --- tests: each tier writes $(BUILD)/results/TIER.txt (tests/README.md) ---

FUZZ_TARGETS := $(patsubst tests/fuzz/%.c,$(BUILD)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_MAIN ?= tests/fuzz/replay_main.c
FUZZ_SECONDS ?= 60
unexport FUZZ_SECONDS # or `check` would fuzz, too
TIER = $(Q)BUILD=$(BUILD) tests/lib/tier

$(BUILD)/tests/fuzz/%: tests/fuzz/%.c tests/fuzz/replay_main.c $(BUILD)/libmixprof.a
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(FUZZ_LDFLAGS) -o $@ $< $(FUZZ_MAIN) \
		$(BUILD)/libmixprof.a $(LDLIBS)

fuzz-targets: $(FUZZ_TARGETS)

lint:
	$(TIER) lint tests/lint/run

static: all
	$(TIER) static tests/lint/static

check: all unit-tests fuzz-targets
	$(TIER) check tests/unit/run tests/fuzz/run $(wildcard tests/golden/run tests/e2e/run-check)

check-root: all $(BUILD)/tests/tools/bpf_budget
	$(TIER) check-root tests/bpf/run tests/html/run $(wildcard tests/oracle/*/run) tests/e2e/run-root

check-vm: all $(BUILD)/tests/tools/bpf_budget
	$(TIER) check-vm tests/vm/run

# Every tier at its largest, `check` once more under sanitizers, fuzzing; writes tests/FULL.md.
check-full: all
	+$(Q)BUILD=$(BUILD) MAKE="$(MAKE)" tests/lib/full

# Fuzzes each target for FUZZ_SECONDS from the saved corpus.
fuzz:
	+$(Q)$(MAKE) BUILD=$(BUILD)/fuzz CC=$(CLANG) FUZZ_MAIN= FUZZ_LDFLAGS=-fsanitize=fuzzer \
		SANITIZE="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined" \
		fuzz-targets
	$(Q)FUZZ_SECONDS=$(FUZZ_SECONDS) BUILD=$(BUILD)/fuzz tests/lib/tier fuzz tests/fuzz/run

bench: all
	$(Q)BUILD=$(BUILD) tests/bench/run

compile_commands.json:
	$(Q)for file in $(LIB_SRC) src/main.c; do \
		printf '{"directory": "%s", "file": "%s", "command": "%s"}\n' '$(CURDIR)' "$$file" \
			'$(CC) $(subst ",\\\",$(subst ',,$(CPPFLAGS))) $(CFLAGS) -c '"$$file"; \
	done | jq -s . > $@

# --- installation ---

BINDIR = $(DESTDIR)$(PREFIX)/bin
SHAREDIR = $(DESTDIR)$(PREFIX)/share

install: all
	install -D -m 755 $(BUILD)/mixprof $(BINDIR)/mixprof
	for page in $(wildcard packaging/man/*.[1-8]); do \
		install -D -m 644 -t $(SHAREDIR)/man/man$${page##*.} $$page || exit 1; \
	done
	install -d $(SHAREDIR)/bash-completion/completions
	$(BUILD)/mixprof completion bash > $(SHAREDIR)/bash-completion/completions/mixprof

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -path $(BUILD)/cache -prune -o -type f -name '*.d' -print 2>/dev/null)
