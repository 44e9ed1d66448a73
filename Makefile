# SPDX-License-Identifier: Apache-2.0
# olho: `make serve` and `make test` are all a newcomer needs; `make help`
# lists the rest.

VERSION := 0.1.0
BUILD ?= build
PREFIX ?= /usr/local
CC ?= cc
PYTHON ?= python3
SECONDS ?= 20
MAKEFLAGS += --no-builtin-rules --no-print-directory
JOBS := $(shell nproc 2>/dev/null || echo 2)
# V=1 shows every command.
Q := $(if $(V),,@)

# --- what is compiled ------------------------------------------------------
ARCH := $(shell uname -m)
CORE_PKGS := libmicrohttpd jansson libjpeg libpng libwebp openssl zlib \
    sqlite3 libcurl libpq libmariadb hiredis hdf5 libzip libprotobuf-c \
    libnghttp2
have = $(shell pkg-config --exists $(1) 2>/dev/null && echo yes)

ALL_SRC := $(sort $(wildcard src/*/*.c))
# A file per optional library or instruction set, left out where it is absent.
SKIP_SRC :=
OPTIONAL_PKGS :=
FEATURES :=
ifeq ($(call have,libheif),yes)
OPTIONAL_PKGS += libheif
FEATURES += heif
SKIP_SRC += src/image/decode_heif_none.c
else
SKIP_SRC += src/image/decode_heif.c
endif
ifeq ($(ARCH),x86_64)
SKIP_SRC += $(wildcard src/*/*_neon.c src/*/*_arm.c src/*/*_plain.c)
else ifeq ($(ARCH),aarch64)
SKIP_SRC += $(wildcard src/*/*_avx2.c src/*/*_avx512.c)
SKIP_SRC += $(wildcard src/*/*_x86.c src/*/*_plain.c)
else
SKIP_SRC += $(wildcard src/*/*_neon.c src/*/*_avx2.c src/*/*_avx512.c)
SKIP_SRC += $(wildcard src/*/*_x86.c src/*/*_arm.c)
endif
SRC := $(filter-out $(SKIP_SRC),$(ALL_SRC))
MAIN_SRC := src/cmd/main.c
LIB_SRC := $(filter-out $(MAIN_SRC),$(SRC))
TEST_SRC := $(sort $(wildcard tests/unit/*.c tests/contract/*.c))
FUZZ_SRC := $(sort $(wildcard tests/fuzz/*.c))

# Protobuf messages: models/NAME.proto becomes gen/NAME.pb-c.[ch].
PROTO := $(sort $(wildcard src/*/*.proto))
PROTO_C := $(foreach p,$(PROTO),$(BUILD)/gen/$(notdir $(p:.proto=.pb-c.c)))
PROTO_OBJ := $(PROTO_C:.c=.o)

OBJ := $(SRC:%.c=$(BUILD)/obj/%.o)
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/obj/%.o)
TEST_OBJ := $(TEST_SRC:%.c=$(BUILD)/obj/%.o)
FUZZ_OBJ := $(FUZZ_SRC:%.c=$(BUILD)/obj/%.o)
FUZZ_BIN := $(FUZZ_SRC:tests/fuzz/%.c=$(BUILD)/%)

# ONNX Runtime is opened at run time, so only its header is needed here: the
# distribution's, or the one that tools/fetch-onnxruntime puts beside the
# library.
ORT_DIR := build/onnxruntime
ifeq ($(call have,libonnxruntime),yes)
ORT_CFLAGS := $(patsubst -I%,-isystem %,\
    $(shell pkg-config --cflags libonnxruntime))
else
ORT_INCLUDE ?= $(ORT_DIR)/include
ORT_CFLAGS := -isystem $(ORT_INCLUDE)
ORT_HEADER := $(ORT_INCLUDE)/onnxruntime_c_api.h
endif

# Where an installed program finds its parts. A build beside build/ has not
# got them in the usual places and is pointed at this tree instead.
ifeq ($(BUILD),build)
LIB_DIR := $(PREFIX)/lib/olho
DATA_DIR := $(PREFIX)/share/olho
else
LIB_DIR := $(CURDIR)/$(ORT_DIR)
DATA_DIR := $(CURDIR)
endif

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wwrite-strings \
    -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith -Wundef \
    -Wno-missing-field-initializers
ifeq ($(CI),true)
WARN += -Werror
endif
OPT ?= -O2 -g
ifeq ($(SANITIZE),)
HARDEN := -D_FORTIFY_SOURCE=2 -fPIE
HARDEN_LINK := -pie -Wl,-z,relro,-z,now
endif
PKG_CFLAGS := $(shell pkg-config --cflags $(CORE_PKGS) $(OPTIONAL_PKGS) \
    2>/dev/null)
CFLAGS_ALL = -std=c17 -D_GNU_SOURCE $(OPT) $(WARN) -fstack-protector-strong \
    -fno-math-errno -fno-trapping-math -ffp-contract=off -pthread \
    -Isrc -Itests/unit -isystem $(BUILD)/gen \
    -DOLHO_VERSION='"$(VERSION)"' -DOLHO_FEATURES='"$(FEATURES)"' \
    $(PKG_CFLAGS) $(ORT_CFLAGS) $(HARDEN) $(SANITIZE) $(CFLAGS)
# Only two files know where things are installed, so that another PREFIX
# compiles these two.
PLACES = -DOLHO_ORT_DIR='"$(LIB_DIR)"' -DOLHO_DATA_DIR='"$(DATA_DIR)"'
PLACED := $(BUILD)/obj/src/infer/engine_ort.o $(BUILD)/obj/src/models/bundle.o
LIBS := $(shell pkg-config --libs $(CORE_PKGS) $(OPTIONAL_PKGS) 2>/dev/null) \
    -lm -ldl -pthread
AVX2_FLAGS := -mavx2 -mfma -O3
AVX512_FLAGS := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni \
    -mfma -O3
LINK = $(CC) $(SANITIZE) $(HARDEN_LINK) $(LDFLAGS) -o $@ \
    $(filter %.o,$^) $(LIBS)

all: $(BUILD)/olho ## build build/olho (the default)

$(BUILD)/olho: $(OBJ) $(PROTO_OBJ) $(BUILD)/linked
	@echo "  LINK  $@"
	$(Q)$(LINK)

$(BUILD)/olho-test: $(LIB_OBJ) $(TEST_OBJ) $(PROTO_OBJ) $(BUILD)/linked
	@echo "  LINK  $@"
	$(Q)$(LINK)

$(FUZZ_BIN): $(BUILD)/%: $(BUILD)/obj/tests/fuzz/%.o $(LIB_OBJ) $(PROTO_OBJ) \
    $(BUILD)/linked
	@echo "  LINK  $@"
	$(Q)$(CC) -fsanitize=fuzzer $(SANITIZE) $(LDFLAGS) -o $@ \
	    $(filter %.o,$^) $(LIBS)

$(BUILD)/bench-image: $(BUILD)/obj/bench/image.o $(LIB_OBJ) $(PROTO_OBJ) \
    $(BUILD)/linked
	@echo "  LINK  $@"
	$(Q)$(LINK)

$(BUILD)/bench-vectors: $(BUILD)/obj/bench/vectors/driver.o $(LIB_OBJ) \
    $(PROTO_OBJ) $(BUILD)/linked
	@echo "  LINK  $@"
	$(Q)$(LINK)

$(BUILD)/bench-open: $(BUILD)/obj/bench/vectors/open.o $(LIB_OBJ) $(PROTO_OBJ) \
    $(BUILD)/linked
	@echo "  LINK  $@"
	$(Q)$(LINK)

vpath %.proto $(sort $(dir $(PROTO)))
$(BUILD)/gen/%.pb-c.c $(BUILD)/gen/%.pb-c.h: %.proto
	@mkdir -p $(BUILD)/gen
	@echo "  PROTO $<"
	$(Q)protoc-c --c_out=$(BUILD)/gen --proto_path=$(dir $<) $(notdir $<)
$(PROTO_OBJ): %.o: %.c $(BUILD)/compiled
	$(Q)$(CC) $(filter-out -W%,$(CFLAGS_ALL)) -w -c -o $@ $<
$(OBJ) $(TEST_OBJ) $(FUZZ_OBJ): | $(PROTO_C)

$(PLACED): OWN_FLAGS = $(PLACES)
$(PLACED): $(BUILD)/placed
$(BUILD)/obj/%_avx2.o: OWN_FLAGS = $(AVX2_FLAGS)
$(BUILD)/obj/%_avx512.o: OWN_FLAGS = $(AVX512_FLAGS)
$(BUILD)/obj/%.o: %.c $(BUILD)/compiled | $(ORT_HEADER)
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CFLAGS_ALL) $(OWN_FLAGS) -MMD -MP -c -o $@ $<

# Stamps, rewritten when a command changes: all is compiled again when the
# flags change, and linked again when the list of files does.
$(BUILD)/compiled: export STAMP = $(CC) $(CFLAGS_ALL) $(AVX2_FLAGS) \
    $(AVX512_FLAGS)
$(BUILD)/linked: export STAMP = $(CC) $(LDFLAGS) $(HARDEN_LINK) $(LIBS) \
    $(SRC) $(TEST_SRC)
$(BUILD)/placed: export STAMP = $(PLACES)
$(BUILD)/compiled $(BUILD)/linked $(BUILD)/placed: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' "$$STAMP" | cmp -s - $@ || printf '%s\n' "$$STAMP" >$@

$(ORT_HEADER):
	@tools/fetch-onnxruntime build

-include $(OBJ:.o=.d) $(TEST_OBJ:.o=.d) $(FUZZ_OBJ:.o=.d) \
    $(BUILD)/obj/bench/image.d $(BUILD)/obj/bench/vectors/driver.d \
    $(BUILD)/obj/bench/vectors/open.d

# --- run -------------------------------------------------------------------
serve: ## install what is missing, build, and serve on 127.0.0.1
	@tools/setup core $(BUILD)
	@$(MAKE) -j$(JOBS) $(BUILD)/olho
	@exec $(BUILD)/olho serve $(ARGS)

# --- test ------------------------------------------------------------------
SUB_CFLAGS := -fno-omit-frame-pointer
# What a sanitizer adds hides from gcc that memory was set and how long texts
# are; the plain build warns of both.
QUIET = $(if $(findstring clang,$(shell $(CC) --version)),,\
    -Wno-maybe-uninitialized -Wno-format-truncation)
ASAN_MAKE = $(MAKE) BUILD=$(BUILD)/asan OPT='-O1 -g $(QUIET)' SANITIZE='\
    -fsanitize=address,undefined -fno-sanitize-recover=undefined $(SUB_CFLAGS)'
TSAN_MAKE = $(MAKE) BUILD=$(BUILD)/tsan OPT='-O1 -g $(QUIET)' SANITIZE='\
    -fsanitize=thread $(SUB_CFLAGS)'
FUZZ_MAKE = $(MAKE) BUILD=$(BUILD)/fuzz CC=clang OPT='-O1 -g' SANITIZE='\
    -fsanitize=fuzzer-no-link,address,undefined \
    -fno-sanitize-recover=undefined $(SUB_CFLAGS)'
COVER_MAKE = $(MAKE) BUILD=$(BUILD)/cover OPT='-O0 -g' \
    SANITIZE='--coverage -fprofile-abs-path'

test: ## install what is missing, then every test, sanitizers and fuzzing
	@tools/setup test $(BUILD)
	@$(MAKE) -j$(JOBS) test-programs
	@tools/run-tests $(BUILD)

test-programs: $(BUILD)/olho $(BUILD)/olho-test
	@+$(ASAN_MAKE) $(BUILD)/asan/olho-test $(BUILD)/asan/olho
	@+$(TSAN_MAKE) $(BUILD)/tsan/olho-test $(BUILD)/tsan/olho
	@+if command -v clang >/dev/null; then $(FUZZ_MAKE) fuzz-programs; fi

unit: $(BUILD)/olho-test ## unit tests only; T=part of a name or file
	@$(BUILD)/olho-test $(T)

torture: $(BUILD)/olho-test ## unit tests that fail each allocation in turn
	@$(BUILD)/olho-test torture

http: $(BUILD)/olho ## tests over HTTP and of the commands; T=part of a name
	@tools/setup test $(BUILD)
	@tools/run-tests $(BUILD) http $(T)

contract: $(BUILD)/olho $(BUILD)/olho-test ## tests beside real PostgreSQL, MariaDB, Redis, S3, Milvus; T=part of a name
	@tools/setup test $(BUILD)
	@tools/run-tests $(BUILD) contract $(T)

proof: $(BUILD)/olho ## beside TensorFlow, Keras and FAISS: the same answers; T=part of a name
	@tools/setup test $(BUILD)
	@tools/run-tests $(BUILD) proof $(T)

asan: ## unit and HTTP tests under the address and undefined sanitizers
	@tools/setup test $(BUILD)
	@+$(ASAN_MAKE) -j$(JOBS) $(BUILD)/asan/olho-test $(BUILD)/asan/olho
	@tools/run-tests $(BUILD) asan $(T)

tsan: ## unit and HTTP tests under the thread sanitizer
	@tools/setup test $(BUILD)
	@+$(TSAN_MAKE) -j$(JOBS) $(BUILD)/tsan/olho-test $(BUILD)/tsan/olho
	@tools/run-tests $(BUILD) tsan $(T)

fuzz: ## each fuzz target for SECONDS=20; F=name runs one
	@+$(FUZZ_MAKE) -j$(JOBS) fuzz-programs
	@SECONDS_EACH=$(SECONDS) tools/run-tests $(BUILD) fuzz $(F)

fuzz-programs: $(FUZZ_BIN)

cover: ## lines that the unit and HTTP tests reach, file by file
	@tools/setup test $(BUILD)
	@+$(COVER_MAKE) -j$(JOBS) $(BUILD)/cover/olho-test $(BUILD)/cover/olho
	@tools/cover $(BUILD)

bench: ## side by side with other servers (takes long)
	@tools/setup bench $(BUILD)
	@$(MAKE) -j$(JOBS) $(BUILD)/olho
	@BUILD=$(BUILD) bench/run $(ARGS)

bench-vectors: ## beside other vector libraries (takes long)
	@tools/setup bench $(BUILD)
	@$(MAKE) -j$(JOBS) $(BUILD)/bench-vectors
	@BUILD=$(BUILD) bench/vectors/run $(ARGS)

REFERENCE_PYTHON := $(BUILD)/reference/venv/bin/python

reference: ## make the reference numbers of tests/data again and compare
	@tools/setup test $(BUILD)
	@$(BUILD)/venv/bin/python tools/reference.py
	@[ -e $(BUILD)/reference/venv/made ] || { \
	    echo "setup: fetching what the references were made with" && \
	    python3 -m venv $(BUILD)/reference/venv && \
	    $(REFERENCE_PYTHON) -m pip install -q \
	        -r tests/data/transform/requirements.txt faiss-cpu==1.15.1 \
	        scipy==1.17.1 statsmodels==0.15.0 ImageHash==4.3.2 && \
	    touch $(BUILD)/reference/venv/made; }
	@$(REFERENCE_PYTHON) tools/make_transform_reference.py --check
	@$(REFERENCE_PYTHON) tools/make_flat_reference.py $(BUILD)/reference
	@cmp $(BUILD)/reference/flat_reference.bin tests/data/flat_reference.bin
	@echo "flat_reference.bin: as stored"
	@$(REFERENCE_PYTHON) tools/make_rollout_reference.py \
	    $(BUILD)/reference/rollout_reference.h
	@cmp $(BUILD)/reference/rollout_reference.h tests/unit/rollout_reference.h
	@echo "rollout_reference.h: as stored"
	@$(REFERENCE_PYTHON) tools/make_quality_reference.py --check
	@$(REFERENCE_PYTHON) tools/make_boxes_reference.py --check

# --- write -----------------------------------------------------------------
DOCS := api config metrics errors commands

lint: ## layers, banned functions, sizes, format, clang-tidy, docs
	@tools/setup lint $(BUILD)
	@$(MAKE) -j$(JOBS) $(BUILD)/olho
	@tools/lint/run $(BUILD) $(L)

fmt: ## format the C sources
	@tools/setup lint $(BUILD)
	@$(BUILD)/venv/bin/clang-format -i $$(git ls-files --cached --others \
	    --exclude-standard '*.c' '*.h')

docs: $(BUILD)/olho ## print docs/*.md from the program's own tables
	@for name in $(DOCS); do \
	    $(BUILD)/olho docs $$name >docs/$$name.md.part && \
	    mv docs/$$name.md.part docs/$$name.md || \
	    { rm -f docs/$$name.md.part; exit 1; }; done

# For tools/lint/run.
print-flags:
	@printf '%s\n' "$$PRINTED"
print-flags: export PRINTED = $(filter-out -Werror $(HARDEN),$(CFLAGS_ALL)) \
    $(PLACES)
print-sources:
	@echo $(SRC)
print-docs:
	@echo $(DOCS)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' \
	    Makefile

# --- install ---------------------------------------------------------------
MODEL := mobilenet_v2

install: $(BUILD)/olho ## put it under PREFIX=/usr/local (and DESTDIR=)
	install -D -m 755 $(BUILD)/olho $(DESTDIR)$(PREFIX)/bin/olho
	install -d $(DESTDIR)$(PREFIX)/share/olho/models/$(MODEL)
	install -m 644 models/$(MODEL)/* \
	    $(DESTDIR)$(PREFIX)/share/olho/models/$(MODEL)
	install -d $(DESTDIR)$(PREFIX)/share/doc/olho
	install -m 644 $(wildcard LICENSE NOTICE README*.md CHANGELOG.md \
	    docs/*.md) $(DESTDIR)$(PREFIX)/share/doc/olho
	if [ -e $(ORT_DIR)/libonnxruntime.so.1 ]; then \
	    install -D -m 644 $(ORT_DIR)/libonnxruntime.so.1 \
	        $(DESTDIR)$(PREFIX)/lib/olho/libonnxruntime.so.1 && \
	    install -m 644 $(ORT_DIR)/ThirdPartyNotices.txt \
	        $(DESTDIR)$(PREFIX)/share/doc/olho/onnxruntime-notices.txt && \
	    install -m 644 $(ORT_DIR)/LICENSE \
	        $(DESTDIR)$(PREFIX)/share/doc/olho/onnxruntime-license.txt; fi

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/olho
	rm -rf $(DESTDIR)$(PREFIX)/lib/olho $(DESTDIR)$(PREFIX)/share/olho \
	    $(DESTDIR)$(PREFIX)/share/doc/olho

clean: ## remove what was built, but not what was fetched
	rm -rf $(BUILD)/obj $(BUILD)/asan $(BUILD)/tsan $(BUILD)/fuzz \
	    $(BUILD)/cover $(BUILD)/logs $(BUILD)/olho $(BUILD)/olho-test \
	    $(BUILD)/compiled $(BUILD)/linked $(BUILD)/placed

FORCE:
.PHONY: all serve test test-programs unit torture http contract proof asan tsan fuzz \
    fuzz-programs cover bench bench-vectors reference lint fmt docs help install uninstall \
    clean print-flags print-sources print-docs FORCE
