# SPDX-License-Identifier: Apache-2.0
# olho: `make serve` and `make test` are all a newcomer needs; `make help`
# lists the rest.

VERSION := 0.1.0
BUILD ?= build
CC ?= cc
PYTHON ?= python3
MAKEFLAGS += --no-builtin-rules

# --- what is compiled ------------------------------------------------------
ARCH := $(shell uname -m)
CORE_PKGS := libmicrohttpd jansson libjpeg libpng libwebp openssl zlib
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
SKIP_SRC += $(wildcard src/*/*_neon.c)
else ifeq ($(ARCH),aarch64)
SKIP_SRC += $(wildcard src/*/*_avx2.c src/*/*_avx512.c)
else
SKIP_SRC += $(wildcard src/*/*_neon.c src/*/*_avx2.c src/*/*_avx512.c)
endif
SRC := $(filter-out $(SKIP_SRC),$(ALL_SRC))
MAIN_SRC := src/cmd/main.c
LIB_SRC := $(filter-out $(MAIN_SRC),$(SRC))
TEST_SRC := $(sort $(wildcard tests/unit/*.c))

OBJ := $(SRC:%.c=$(BUILD)/obj/%.o)
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/obj/%.o)
TEST_OBJ := $(TEST_SRC:%.c=$(BUILD)/obj/%.o)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wwrite-strings \
    -Wmissing-prototypes -Wstrict-prototypes -Wpointer-arith -Wundef \
    -Wno-missing-field-initializers
ifeq ($(CI),true)
WARN += -Werror
endif
OPT ?= -O2 -g
CFLAGS_ALL = -std=c17 -D_GNU_SOURCE $(OPT) $(WARN) -fstack-protector-strong \
    -fno-math-errno -fno-trapping-math -pthread -Isrc -Itests/unit \
    -DOLHO_VERSION='"$(VERSION)"' -DOLHO_FEATURES='"$(FEATURES)"' \
    $(shell pkg-config --cflags $(CORE_PKGS) $(OPTIONAL_PKGS) 2>/dev/null) \
    $(SANITIZE) $(CFLAGS)
LIBS = $(shell pkg-config --libs $(CORE_PKGS) $(OPTIONAL_PKGS) 2>/dev/null) \
    -lm -ldl -pthread

all: $(BUILD)/olho

$(BUILD)/olho: $(OBJ)
	$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/olho-test: $(LIB_OBJ) $(TEST_OBJ)
	$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ $(LIBS)

$(BUILD)/obj/%_avx2.o: KERNEL_FLAGS = -mavx2 -mfma -O3
$(BUILD)/obj/%_avx512.o: KERNEL_FLAGS = -mavx512f -mavx512bw -mavx512vl \
    -mavx512dq -mavx512vnni -mfma -O3
$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS_ALL) $(KERNEL_FLAGS) -MMD -MP -c -o $@ $<

-include $(OBJ:.o=.d) $(TEST_OBJ:.o=.d)

unit: $(BUILD)/olho-test
	$(BUILD)/olho-test $(T)

clean:
	rm -rf $(BUILD)/obj $(BUILD)/olho $(BUILD)/olho-test

.PHONY: all unit clean
