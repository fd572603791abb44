# CocoIndex in C. `make help` lists the targets; CC, CFLAGS, CPPFLAGS, LDFLAGS, PREFIX and DESTDIR are honoured.
# Variants build into directories of their own: make BUILD=build/x CC=clang CFLAGS=-O3. SMALL=1 means tiny limits.

CC ?= cc
CFLAGS ?= -O2 -g
CXX ?= c++
AR ?= ar
PREFIX ?= /usr/local
INCLUDEDIR ?= $(PREFIX)/include
LIBDIR ?= $(PREFIX)/lib
BINDIR ?= $(PREFIX)/bin
PKG_CONFIG ?= pkg-config
INSTALL ?= install
BUILD ?= build$(if $(SMALL),/small)
DIST ?= dist

VERSION := $(shell awk '/define COCO_VERSION_(MAJOR|MINOR|PATCH)/ { v = v s $$3; s = "." } END { print v }' cocoindex.h)
MAJOR := $(firstword $(subst ., ,$(VERSION)))

# Connectors that need no client library are part of the library.
CONNECTORS := localfs
LIBS := -llmdb -pthread

# What the plain build asks of the compiler, and what developers ask (style: every warning is an error).
STD := -std=c11 -I. -pthread -MMD -MP $(if $(SMALL),-DCOCO_SMALL)
PLAIN := $(STD) -Wall -Wextra -DNDEBUG
DEV := -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes -Werror
TESTS_C := $(STD) $(DEV) -UNDEBUG -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -DCOCO__SEPARATE
TEST_LIBS ?= -lcmocka -lb2

MD4C_CFLAGS := $(shell $(PKG_CONFIG) --cflags md4c md4c-html 2>/dev/null)
MD4C_LIBS := $(shell $(PKG_CONFIG) --libs md4c md4c-html 2>/dev/null)

EXAMPLES := $(if $(MD4C_LIBS),md2html) tour
PROGRAMS := $(BUILD)/cocoindex $(EXAMPLES:%=$(BUILD)/%)
TOOL := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tools/*.c))
UNIT := $(BUILD)/obj/cocoindex_lmdb.o $(CONNECTORS:%=$(BUILD)/obj/connectors/%.o)

TEST_SOURCES := $(wildcard tests/test_*.c)
TEST_PROGRAMS := $(TEST_SOURCES:tests/%.c=$(BUILD)/test/%)
# Tests link the floors one by one, with their internals visible; files in tests/ that aren't tests are shared helpers.
TEST_OBJECTS := $(patsubst %.c,$(BUILD)/test/obj/%.o,$(wildcard engine/*.c) $(CONNECTORS:%=connectors/%.c) \
                $(filter-out tools/cocoindex.c,$(wildcard tools/*.c)) $(filter-out $(TEST_SOURCES),$(wildcard tests/*.c)))
TEST_SCRIPTS ?= $(wildcard tests/test_*.sh)
FUZZ_PROGRAMS := $(patsubst fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard fuzz/fuzz_*.c))
BENCH_PROGRAMS := $(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all FORCE

all: $(BUILD)/libcocoindex.a $(BUILD)/libcocoindex.so $(PROGRAMS) ## the library, the cocoindex tool and the examples
ifeq ($(MD4C_LIBS),)
	@echo 'notice: md4c is not installed (pkg-config md4c md4c-html): md2html is left out'
endif

# Objects are made again when the compiler or its flags change.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(PLAIN)' | cmp -s - $@ || \
	 echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(PLAIN)' >$@

# ---- The library --------------------------------------------------------------------------------------------------------

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(PLAIN) $(CPPFLAGS) $(CFLAGS) -fPIC -c $< -o $@

$(BUILD)/libcocoindex.a: $(UNIT)
	rm -f $@
	$(AR) rcs $@ $^

ifeq ($(shell uname -s),Darwin)
SONAME := -install_name $(LIBDIR)/libcocoindex.so
else
SONAME := -Wl,-soname,libcocoindex.so.$(MAJOR)
endif

$(BUILD)/libcocoindex.so: $(UNIT)
	$(CC) -shared $(SONAME) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@

$(BUILD)/cocoindex: $(TOOL) $(BUILD)/libcocoindex.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@

# ---- The examples -------------------------------------------------------------------------------------------------------
# The two-line rule: `cocoindex logic` fingerprints the code of each registered function into a header, and the program is
# compiled with it, so that an edited function runs again without a version to bump by hand.

define example
$(BUILD)/$(1).logic.h: examples/$(1)/$(1).c $(BUILD)/cocoindex
	$(BUILD)/cocoindex logic $$< >$$@

$(BUILD)/obj/examples/$(1)/$(1).o: examples/$(1)/$(1).c $(BUILD)/$(1).logic.h $(BUILD)/flags
	@mkdir -p $$(@D)
	$(CC) $(PLAIN) $(CPPFLAGS) $(CFLAGS) $(if $(filter md2html,$(1)),$(MD4C_CFLAGS)) -include $(BUILD)/$(1).logic.h -c $$< -o $$@

$(BUILD)/$(1): $(BUILD)/obj/examples/$(1)/$(1).o $(BUILD)/libcocoindex.a
	$(CC) $(CFLAGS) $(LDFLAGS) $$^ $(if $(filter md2html,$(1)),$(MD4C_LIBS)) $(LIBS) -o $$@
endef
$(foreach name,$(EXAMPLES),$(eval $(call example,$(name))))

.PHONY: examples demo
examples: all ## run every example
	@set -e; for name in $(EXAMPLES); do echo "== $$name"; BUILD=$(BUILD) sh examples/$$name/run.sh; done

demo: $(BUILD)/md2html ## a site from Markdown: build it, edit one page, build it again
	@BUILD=$(BUILD) sh examples/md2html/run.sh

ifeq ($(MD4C_LIBS),)
$(BUILD)/md2html:
	@echo 'md2html needs md4c (pkg-config md4c md4c-html): ./bootstrap demo installs it' >&2; exit 1
endif

# ---- Tests --------------------------------------------------------------------------------------------------------------

$(BUILD)/test/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(TESTS_C) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/test/%: $(BUILD)/test/obj/tests/%.o $(TEST_OBJECTS)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(TEST_LIBS) $(LIBS) -o $@

.PHONY: test tests check check-cc tsan valgrind fuzz cov
tests: $(TEST_PROGRAMS) ## build the tests without running them

test: all tests ## build and run every test
	@BUILD='$(BUILD)' CC='$(CC)' CXX='$(CXX)' MAKE='$(MAKE)' MAKEFLAGS= scripts/runtests $(TEST_PROGRAMS) $(TEST_SCRIPTS)

SANITIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
CHECK_COMPILERS ?= gcc clang

check-cc: tests # one compiler's sanitizer run; `check` calls it
	@ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 scripts/runtests $(TEST_PROGRAMS)

check: ## the C tests under address, undefined and leak sanitizers, with gcc and with clang
	@set -e; for cc in $(CHECK_COMPILERS); do echo "==== $$cc"; \
	 $(MAKE) --no-print-directory BUILD=$(BUILD)/asan-$$cc CC=$$cc CFLAGS='$(SANITIZE)' check-cc; done

tsan: ## the C tests under the thread sanitizer
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan CC=clang CFLAGS='-O1 -g -fsanitize=thread' check-cc

# Leaks are looked for in whole programs: tests that kill a child on purpose would report its memory. Valgrind doesn't grant the
# address space that the database asks for by itself.
VALGRIND := valgrind -q --error-exitcode=9
LEAKS := --leak-check=full --errors-for-leak-kinds=definite,possible
VALGRIND_TESTS ?= $(TEST_PROGRAMS)
valgrind: all tests ## the C tests (or VALGRIND_TESTS) and the examples under valgrind
	@COCOINDEX_LMDB_MAP_SIZE=1073741824 scripts/runtests -w '$(VALGRIND)' $(VALGRIND_TESTS)
	@COCOINDEX_LMDB_MAP_SIZE=1073741824 $(VALGRIND) $(LEAKS) $(BUILD)/tour $(BUILD)/tour.db >/dev/null
	@$(if $(MD4C_LIBS),COCOINDEX_LMDB_MAP_SIZE=1073741824 $(VALGRIND) $(LEAKS) $(BUILD)/md2html update -q \
	 --source examples/md2html/docs --out $(BUILD)/valgrind.site --db $(BUILD)/valgrind.db)

# Each fuzz/fuzz_NAME.c is a libFuzzer target; its findings and corpus stay in the build directory.
FUZZ_SECONDS ?= 30
FUZZ_FLAGS := -O1 -g -fsanitize=address,undefined
fuzz: ## run each fuzzer for FUZZ_SECONDS
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzzing CC=clang CFLAGS='$(FUZZ_FLAGS) -fsanitize=fuzzer-no-link' fuzz-run
.PHONY: fuzz-run
fuzz-run: $(FUZZ_PROGRAMS)
	@$(if $(FUZZ_PROGRAMS),,echo 'there are no fuzzers')
	@set -e; for f in $(FUZZ_PROGRAMS); do mkdir -p $$f.corpus; echo "== $$f"; \
	 $$f -max_total_time=$(FUZZ_SECONDS) -print_final_stats=0 -artifact_prefix=$$f. $$f.corpus; done

$(BUILD)/fuzz/%: $(BUILD)/test/obj/fuzz/%.o $(TEST_OBJECTS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fsanitize=fuzzer $(LDFLAGS) $^ $(TEST_LIBS) $(LIBS) -o $@

cov: ## line and branch coverage of the engine and connectors by the C tests
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/cov CC=gcc CFLAGS='-O0 -g --coverage' check-cc
	gcovr --root . --object-directory $(BUILD)/cov --filter 'engine/' --filter 'connectors/' --branches \
	 --html-details $(BUILD)/cov/index.html --print-summary

# ---- Measures -----------------------------------------------------------------------------------------------------------

$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(BUILD)/libcocoindex.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@

.PHONY: bench size lint format
bench: $(BENCH_PROGRAMS) all ## run the benchmarks against their budgets
	@$(if $(wildcard bench/run.sh),BUILD=$(BUILD) sh bench/run.sh,echo 'there are no benchmarks')

size: ## the budgets: code, lines, lengths of functions and lines
	@BUILD='$(BUILD)' CC='$(CC)' sh scripts/size

# Floor by floor: an analysis of the whole unit takes hours.
LINTED := $(wildcard engine/*.c) $(CONNECTORS:%=connectors/%.c) $(filter-out tools/cocoindex.c,$(wildcard tools/*.c))
LINT_FLAGS := -std=c11 -I. -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -DCOCO__SEPARATE
lint: ## static analysis with whichever of gcc, clang and cppcheck is installed
	@set -e; for f in $(LINTED); do echo "== $$f"; \
	 if command -v gcc >/dev/null; then gcc $(LINT_FLAGS) -O1 -fanalyzer -Werror -c $$f -o /dev/null; fi; \
	 if command -v clang >/dev/null; then clang $(LINT_FLAGS) --analyze -Xclang -analyzer-werror -o /dev/null $$f; fi; \
	 if command -v cppcheck >/dev/null; then cppcheck -q $(LINT_FLAGS) --error-exitcode=1 --inline-suppr $$f; fi; \
	done

format: ## strip trailing blanks; name tabs and lines over 120 columns
	@sh scripts/format

# ---- Handing it on ------------------------------------------------------------------------------------------------------

.PHONY: dist static install uninstall clean help
dist: ## write dist/: the two self-contained files and the connectors
	scripts/amalgamate $(DIST) $(CONNECTORS)

# A distribution may ship a library without its static archive (Debian's md4c): what can't be linked is left out and named.
static: all ## fully static programs, into BUILD/static
	@mkdir -p $(BUILD)/static
	$(CC) $(CFLAGS) $(LDFLAGS) -static $(TOOL) $(BUILD)/libcocoindex.a $(LIBS) -o $(BUILD)/static/cocoindex
	$(CC) $(CFLAGS) $(LDFLAGS) -static $(BUILD)/obj/examples/tour/tour.o $(BUILD)/libcocoindex.a $(LIBS) -o $(BUILD)/static/tour
	@$(if $(MD4C_LIBS),$(CC) $(CFLAGS) $(LDFLAGS) -static $(BUILD)/obj/examples/md2html/md2html.o $(BUILD)/libcocoindex.a \
	 $(MD4C_LIBS) $(LIBS) -o $(BUILD)/static/md2html 2>$(BUILD)/static/md2html.log || \
	 echo 'notice: there is no static md4c here: build/static/md2html is left out')

install: all ## install the library, headers, tool and pkg-config file under PREFIX
	$(INSTALL) -d $(DESTDIR)$(INCLUDEDIR)/cocoindex/connectors $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(BINDIR)
	$(INSTALL) -m 644 cocoindex.h $(DESTDIR)$(INCLUDEDIR)/cocoindex
	$(INSTALL) -m 644 $(CONNECTORS:%=connectors/%.h) $(DESTDIR)$(INCLUDEDIR)/cocoindex/connectors
	$(INSTALL) -m 644 $(BUILD)/libcocoindex.a $(DESTDIR)$(LIBDIR)
	$(INSTALL) -m 755 $(BUILD)/libcocoindex.so $(DESTDIR)$(LIBDIR)/libcocoindex.so.$(VERSION)
	ln -sf libcocoindex.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libcocoindex.so.$(MAJOR)
	ln -sf libcocoindex.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libcocoindex.so
	$(INSTALL) -m 755 $(BUILD)/cocoindex $(DESTDIR)$(BINDIR)
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	 cocoindex.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/cocoindex.pc
	chmod 644 $(DESTDIR)$(LIBDIR)/pkgconfig/cocoindex.pc

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(INCLUDEDIR)/cocoindex/cocoindex.h $(CONNECTORS:%=$(DESTDIR)$(INCLUDEDIR)/cocoindex/connectors/%.h)
	-rmdir $(DESTDIR)$(INCLUDEDIR)/cocoindex/connectors $(DESTDIR)$(INCLUDEDIR)/cocoindex
	rm -f $(DESTDIR)$(LIBDIR)/libcocoindex.a $(DESTDIR)$(LIBDIR)/libcocoindex.so $(DESTDIR)$(LIBDIR)/libcocoindex.so.$(MAJOR)
	rm -f $(DESTDIR)$(LIBDIR)/libcocoindex.so.$(VERSION) $(DESTDIR)$(LIBDIR)/pkgconfig/cocoindex.pc $(DESTDIR)$(BINDIR)/cocoindex

clean: ## remove what was built
	rm -rf $(BUILD) $(DIST)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
