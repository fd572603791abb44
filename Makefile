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
# What scripts/fetch-grammars has fetched is found as an installed tree-sitter is.
GRAMMARS ?= build/grammars
PKG_CONFIG ?= PKG_CONFIG_PATH="$(abspath $(GRAMMARS)):$$PKG_CONFIG_PATH" pkg-config
INSTALL ?= install
BUILD ?= build$(if $(SMALL),/small)
DIST ?= dist

VERSION := $(shell awk '/define COCO_VERSION_(MAJOR|MINOR|PATCH)/ { v = v s $$3; s = "." } END { print v }' cocoindex.h)
MAJOR := $(firstword $(subst ., ,$(VERSION)))

LIBS := -llmdb -pthread

# What no distribution packages, and only tests need, is fetched by scripts/fetch-… into build/ (./bootstrap test calls them).
export COCO_TEST_PGVECTOR ?= $(CURDIR)/build/pgvector
ifneq ($(wildcard build/sqlite-vec/vec0.so),)
export COCO_VEC0 ?= $(CURDIR)/build/sqlite-vec/vec0.so
endif

# Connectors and ops, a pair of files each, and the pkg-config modules of the client library that one needs. Where a library
# is absent its part is left out, with a notice; the shared library holds those alone that need none.
NEEDS_sqlite := sqlite3
NEEDS_postgres := libpq
NEEDS_text := libpcre2-8
NEEDS_syntax := libpcre2-8 tree-sitter
NEEDS_embed := libcurl jansson
MODULES := $(sort $(NEEDS_sqlite) $(NEEDS_postgres) $(NEEDS_text) $(NEEDS_syntax) $(NEEDS_embed) md4c md4c-html libmicrohttpd)
HAVE := $(foreach m,$(MODULES),$(shell $(PKG_CONFIG) --exists $(m) 2>/dev/null && echo $(m)))
# $(call lacks,MODULE …): those of the modules that aren't there
lacks = $(filter-out $(HAVE),$(1))
ALL_PARTS := $(patsubst %.c,%,$(wildcard connectors/*.c ops/*.c))
PARTS := $(foreach p,$(ALL_PARTS),$(if $(call lacks,$(NEEDS_$(notdir $(p)))),,$(p)))
BARE_PARTS := $(foreach p,$(ALL_PARTS),$(if $(NEEDS_$(notdir $(p))),,$(p)))
LEFT_OUT := $(filter-out $(PARTS),$(ALL_PARTS))
PART_MODULES := $(sort $(foreach p,$(PARTS),$(NEEDS_$(notdir $(p)))))
PART_CFLAGS := $(if $(HAVE),$(shell $(PKG_CONFIG) --cflags $(HAVE)))
PART_LIBS := $(if $(PART_MODULES),$(shell $(PKG_CONFIG) --libs $(PART_MODULES))) -lm
# A server of the tests' and benchmarks' own needs libmicrohttpd.
SERVER_LIBS := $(if $(call lacks,libmicrohttpd),,$(shell $(PKG_CONFIG) --libs libmicrohttpd))

# What the plain build asks of the compiler, and what developers ask (style: every warning is an error).
STD := -std=c11 -I. -pthread -MMD -MP $(if $(SMALL),-DCOCO_SMALL) $(PART_CFLAGS)
PLAIN := $(STD) -Wall -Wextra -DNDEBUG
DEV := -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes -Werror
TESTS_C := $(STD) $(DEV) -UNDEBUG -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -DCOCO__SEPARATE
TEST_LIBS ?= -lcmocka -lb2

# An example links the modules that it needs, and is left out where one is absent; with those it MAY use it does more.
NEEDS_md2html := md4c md4c-html
NEEDS_docs_search := sqlite3 libpcre2-8 md4c
MAY_docs_search := libpq libcurl jansson
NEEDS_pg_to_files := libpq
NEEDS_sqlite_to_pg := sqlite3 libpq
NEEDS_live_site := libmicrohttpd md4c md4c-html
HAVE_FLAGS := $(if $(call lacks,libpq),,-DHAVE_POSTGRES) $(if $(call lacks,libcurl jansson),,-DHAVE_EMBED)
ALL_EXAMPLES := $(notdir $(patsubst %/,%,$(wildcard examples/*/)))
EXAMPLES := $(foreach e,$(ALL_EXAMPLES),$(if $(call lacks,$(NEEDS_$(e))),,$(e)))
LEFT_OUT += $(filter-out $(EXAMPLES:%=examples/%),$(ALL_EXAMPLES:%=examples/%))
example_modules = $(NEEDS_$(1)) $(filter $(HAVE),$(MAY_$(1)))
example_libs = $(if $(strip $(example_modules)),$(shell $(PKG_CONFIG) --libs $(example_modules))) -lm
PROGRAMS := $(BUILD)/cocoindex $(EXAMPLES:%=$(BUILD)/%)
TOOL := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard tools/*.c))
UNIT := $(BUILD)/obj/cocoindex_lmdb.o $(PARTS:%=$(BUILD)/obj/%.o)
SHARED := $(BUILD)/obj/cocoindex_lmdb.o $(BARE_PARTS:%=$(BUILD)/obj/%.o)

# A test of a part that is left out is left out too: tests/test_PART*.c; and what TEST_SKIP names ("postgres% embed%").
TEST_SKIP ?=
TEST_SOURCES := $(filter-out $(TEST_SKIP:%=tests/test_%.c) $(foreach p,$(LEFT_OUT),tests/test_$(notdir $(p))%.c),\
                $(wildcard tests/test_*.c))
TEST_PROGRAMS := $(TEST_SOURCES:tests/%.c=$(BUILD)/test/%)
# Tests link the floors one by one, with their internals visible; files in tests/ that aren't tests are shared helpers.
FLOORS := $(patsubst %.c,$(BUILD)/test/obj/%.o,$(wildcard engine/*.c) $(PARTS:%=%.c))
TEST_OBJECTS := $(FLOORS) $(patsubst %.c,$(BUILD)/test/obj/%.o,$(filter-out tools/cocoindex.c,$(wildcard tools/*.c)) \
                $(filter-out tests/test_%,$(wildcard tests/*.c)))
TEST_SCRIPTS ?= $(wildcard tests/test_*.sh)
FUZZ_PROGRAMS := $(patsubst fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard fuzz/fuzz_*.c))
# A benchmark links the modules that it needs, and is left out where one is absent (NEEDS_text and NEEDS_embed are above).
NEEDS_rows_sqlite := sqlite3
NEEDS_rows_pg := libpq
BENCH_MODULES_embed := libmicrohttpd
BENCH_PROGRAMS := $(foreach b,$(filter-out lmdb_trace,$(patsubst bench/%.c,%,$(wildcard bench/*.c))),\
                  $(if $(call lacks,$(NEEDS_$(b)) $(BENCH_MODULES_$(b))),,$(BUILD)/bench/$(b)))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all FORCE

all: $(BUILD)/libcocoindex.a $(BUILD)/libcocoindex.so $(PROGRAMS) ## the library, the cocoindex tool and the examples
	@$(foreach p,$(LEFT_OUT),echo 'notice: $(p) is left out: pkg-config finds no $(call lacks,$(NEEDS_$(notdir $(p))))';) :

# Objects are made again when the compiler or its flags change.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(PLAIN)' | cmp -s - $@ || \
	 echo '$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(PLAIN)' >$@

# ---- The library --------------------------------------------------------------------------------------------------------

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(PLAIN) $(HAVE_FLAGS) $(CPPFLAGS) $(CFLAGS) -fPIC -c $< -o $@

$(BUILD)/libcocoindex.a: $(UNIT)
	rm -f $@
	$(AR) rcs $@ $^

ifeq ($(shell uname -s),Darwin)
SONAME := -install_name $(LIBDIR)/libcocoindex.so
else
SONAME := -Wl,-soname,libcocoindex.so.$(MAJOR)
endif

$(BUILD)/libcocoindex.so: $(SHARED)
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
	$(CC) $(PLAIN) $(HAVE_FLAGS) $(CPPFLAGS) $(CFLAGS) -include $(BUILD)/$(1).logic.h -c $$< -o $$@

$(BUILD)/$(1): $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard examples/$(1)/*.c)) $(BUILD)/libcocoindex.a
	$(CC) $(CFLAGS) $(LDFLAGS) $$^ $(call example_libs,$(1)) $(LIBS) -o $$@
endef
$(foreach name,$(EXAMPLES),$(eval $(call example,$(name))))

.PHONY: examples demo
examples: all ## run every example
	@set -e; for name in $(EXAMPLES); do echo "== $$name"; BUILD=$(BUILD) sh examples/$$name/run.sh; done

demo: $(BUILD)/docs_search ## a search index of documents: build it, edit one page, build it again, search
	@BUILD=$(BUILD) sh examples/docs_search/run.sh

$(LEFT_OUT:examples/%=$(BUILD)/%):
	@echo '$(@F) needs $(NEEDS_$(@F)) (pkg-config): ./bootstrap demo installs it' >&2; exit 1

# ---- Tests --------------------------------------------------------------------------------------------------------------

$(BUILD)/test/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(TESTS_C) $(CPPFLAGS) $(CFLAGS) -c $< -o $@

$(BUILD)/test/%: $(BUILD)/test/obj/tests/%.o $(TEST_OBJECTS)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(TEST_LIBS) $(PART_LIBS) $(SERVER_LIBS) $(LIBS) -o $@

.PHONY: test tests check check-cc tsan valgrind fuzz cov
tests: $(TEST_PROGRAMS) ## build the tests without running them

test: all tests bench-build ## build and run every test
	@$(foreach p,$(LEFT_OUT),echo 'skipped: $(p): no $(call lacks,$(NEEDS_$(notdir $(p))))';) :
	@BUILD='$(BUILD)' CC='$(CC)' CXX='$(CXX)' MAKE='$(MAKE)' MAKEFLAGS= scripts/runtests $(TEST_PROGRAMS) $(TEST_SCRIPTS)

# The library as one unit, its parts, tools and examples, with every warning of the developers' as an error.
WARNINGS := -Wpedantic -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes -Werror
.PHONY: werror
werror: $(EXAMPLES:%=$(BUILD)/%.logic.h) ## every warning as an error, with gcc and with clang
	@set -e; for cc in gcc clang; do \
	 for f in cocoindex_lmdb.c $(PARTS:%=%.c) $(wildcard tools/*.c) $(foreach e,$(EXAMPLES),$(wildcard examples/$(e)/*.c)) \
  $(BENCH_PROGRAMS:$(BUILD)/%=%.c) bench/lmdb_trace.c; do \
	  echo "$$cc $$f"; $$cc $(filter-out -MMD -MP,$(PLAIN)) $(HAVE_FLAGS) $(WARNINGS) -fsyntax-only $$f; done; done

SANITIZE := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
CHECK_COMPILERS ?= gcc clang

check-cc: tests # one compiler's sanitizer run; `check` calls it
	@ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1 scripts/runtests $(TEST_PROGRAMS)

check: ## the C tests under address, undefined and leak sanitizers, with gcc and with clang
	@set -e; for cc in $(CHECK_COMPILERS); do echo "==== $$cc"; \
	 $(MAKE) --no-print-directory BUILD=$(BUILD)/asan-$$cc CC=$$cc CFLAGS='$(SANITIZE)' check-cc; done

# Crashes, checks and random programs take minutes under the sanitizer: TSAN_TESTS names fewer.
TSAN_THREADS ?= 1 2 8
TSAN_TESTS ?= $(TEST_SOURCES:tests/test_%.c=%)
tsan: ## the C tests (or TSAN_TESTS) under the thread sanitizer, with pools of TSAN_THREADS threads
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan CC=clang CFLAGS='-O1 -g -fsanitize=thread' tsan-run
.PHONY: tsan-run
tsan-run: export TSAN_OPTIONS += die_after_fork=0 # a check has a child process, which may have threads
tsan-run: $(TSAN_TESTS:%=$(BUILD)/test/test_%)
	@set -e; for n in $(TSAN_THREADS); do echo "==== COCOINDEX_THREADS=$$n"; COCOINDEX_THREADS=$$n scripts/runtests $^; done

# Leaks are looked for in whole programs: tests that kill a child on purpose would report its memory. Valgrind doesn't grant the
# address space that the database asks for by itself.
VALGRIND := valgrind -q --error-exitcode=9
LEAKS := --leak-check=full --errors-for-leak-kinds=definite,possible
VALGRIND_TESTS ?= $(TEST_PROGRAMS)
valgrind: all tests ## the C tests (or VALGRIND_TESTS) and the examples under valgrind
	@COCOINDEX_LMDB_MAP_SIZE=1073741824 scripts/runtests -w '$(VALGRIND)' $(VALGRIND_TESTS)
	@COCOINDEX_LMDB_MAP_SIZE=1073741824 $(VALGRIND) $(LEAKS) $(BUILD)/tour $(BUILD)/tour.db >/dev/null
	@$(if $(filter md2html,$(EXAMPLES)),COCOINDEX_LMDB_MAP_SIZE=1073741824 $(VALGRIND) $(LEAKS) $(BUILD)/md2html update -q \
	 --source examples/md2html/docs --out $(BUILD)/valgrind.site --db $(BUILD)/valgrind.db)

# Each fuzz/fuzz_NAME.c is a libFuzzer target, run by scripts/runfuzz, FUZZ_JOBS at a time. What libFuzzer learns from comparisons
# finds a way in sooner, and takes most of the time from then on: long runs (FUZZ_RUNS) go without, or with FUZZ_CMP=1.
FUZZ_SECONDS ?= $(if $(FUZZ_RUNS),0,30)
FUZZ_JOBS ?= 2
FUZZ_CMP ?= $(if $(FUZZ_RUNS),,1)
FUZZ_COVER = -fsanitize=fuzzer-no-link $(if $(FUZZ_CMP),,-fno-sanitize-coverage=trace-cmp)
FUZZ_FLAGS := $(if $(FUZZ_CMP),-O1,-O2) -g -fsanitize=address,undefined
fuzz: ## run each fuzzer for FUZZ_SECONDS, or FUZZ_RUNS times
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzzing$(if $(FUZZ_CMP),,-long) CC=clang CFLAGS='$(FUZZ_FLAGS)' fuzz-run
.PHONY: fuzz-run
fuzz-run: $(FUZZ_PROGRAMS)
	@$(if $(FUZZ_PROGRAMS),,echo 'there are no fuzzers')
	@printf '%s\n' $(FUZZ_PROGRAMS) | FUZZ_SECONDS=$(FUZZ_SECONDS) xargs -P $(FUZZ_JOBS) -n 1 scripts/runfuzz

# All counters of coverage are looked through after each execution: what a fuzzer doesn't aim at has none, and comes out of an
# archive, so that what it includes, to get at what is static there, isn't linked again.
COVERED_BY_fuzz_glob := connectors/localfs
COVERED_BY_fuzz_key := engine/base engine/key engine/value
COVERED_BY_fuzz_record := engine/base engine/memo engine/record engine/states engine/store
COVERED_BY_fuzz_rows := connectors/rows
COVERED_BY_fuzz_store := $(patsubst %.c,%,$(wildcard engine/*.c))
COVERED_BY_fuzz_text := ops/text
COVERED_BY_fuzz_value := engine/base engine/value
$(BUILD)/covered/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(TESTS_C) $(CPPFLAGS) $(CFLAGS) $(FUZZ_COVER) -c $< -o $@

define fuzzer
$(BUILD)/fuzz/$(1): $(patsubst %,$(BUILD)/covered/%.o,fuzz/$(1) $(COVERED_BY_$(1))) $(BUILD)/fuzz/rest.a
	$$(CC) $$(CFLAGS) -fsanitize=fuzzer $$(LDFLAGS) $$^ $$(TEST_LIBS) $$(PART_LIBS) $$(SERVER_LIBS) $$(LIBS) -o $$@
endef
$(foreach f,$(FUZZ_PROGRAMS:$(BUILD)/fuzz/%=%),$(eval $(call fuzzer,$(f))))

$(BUILD)/fuzz/rest.a: $(TEST_OBJECTS)
	@mkdir -p $(@D)
	rm -f $@
	$(AR) rcs $@ $^

# Whole programs under trouble; scripts/soak says what, and takes KILLS=N. tests/test_soak.sh is a little of it.
SOAK ?=
.PHONY: soak soak-programs
soak: soak-programs $(BUILD)/test/test_oracle ## programs under kills, a full disk, a jumping clock (KILLS=1000); the oracle
	@BUILD=$(BUILD) scripts/soak $(SOAK)
	@SEEDS=$${SEEDS:-5000} $(BUILD)/test/test_oracle

soak-programs: all $(BUILD)/soak/many $(BUILD)/soak/clock.so

$(BUILD)/soak/many: $(BUILD)/obj/tests/soak/many.o $(BUILD)/libcocoindex.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(LIBS) -o $@

$(BUILD)/soak/clock.so: tests/soak/clock.c
	@mkdir -p $(@D)
	$(CC) -shared -fPIC -O2 $< -o $@

.PHONY: test-peer-text
test-peer-text: ## compare the splitters with CocoIndex itself, from PyPI, on this machine's documents
	@BUILD=$(BUILD) CC='$(CC)' scripts/peer-text

# Processes that end by a signal leave no counts; those that end by _exit do (tests/cov/exit.c). An assert is no branch. Sweeps
# (tests/sweep.h) are what takes the branches of errors. Programs link the floors that tests link, too: a branch of a file that
# is compiled in two ways would count twice.
COV_SCRIPTS ?= $(filter-out %_quiet.sh %_bench.sh %_dropin.sh %_soak.sh %_readme.sh %_examples.sh,$(TEST_SCRIPTS))
COV_TESTS ?= $(TEST_SOURCES:tests/test_%.c=%)
COV_MAKE = $(MAKE) --no-print-directory BUILD=$(BUILD)/cov CC=gcc CFLAGS='-O0 -g --coverage' UNIT='$$(FLOORS)' \
           LDFLAGS='$(CURDIR)/$(BUILD)/cov/exit.o'
cov: ## line and branch coverage of the engine by the tests; needs gcovr 8 (pip install gcovr)
	@mkdir -p $(BUILD)/cov
	gcc -fPIC -c tests/cov/exit.c -o $(BUILD)/cov/exit.o
	@$(COV_MAKE) cov-run
	gcovr --root . --object-directory $(BUILD)/cov --filter engine/ --exclude-branches-by-pattern '.*assert\(.*' \
	 --gcov-ignore-parse-errors=suspicious_hits.warn_once_per_file --html-details $(BUILD)/cov/index.html \
	 --json-summary $(BUILD)/cov/files.json --txt $(BUILD)/cov/lines.txt --print-summary
.PHONY: cov-run
cov-run: $(PROGRAMS) $(COV_TESTS:%=$(BUILD)/test/test_%)
	@find $(BUILD) -name '*.gcda' -delete
	-@BUILD='$(BUILD)' CC=gcc CXX=g++ CFLAGS='$(CFLAGS)' LDFLAGS='$(LDFLAGS)' MAKE='$(MAKE)' MAKEFLAGS= \
	 scripts/runtests $(COV_TESTS:%=$(BUILD)/test/test_%) $(COV_SCRIPTS)

# ---- Measures -----------------------------------------------------------------------------------------------------------

# Programs of the benchmarks link no more than they need: starting them is measured too.
$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(BUILD)/libcocoindex.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ $(call example_libs,$*) $(if $(BENCH_MODULES_$*),$(SERVER_LIBS)) $(LIBS) -o $@

$(BUILD)/bench/lmdb_trace.so: bench/lmdb_trace.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(PLAIN) $(CPPFLAGS) $(CFLAGS) -fPIC -shared $(LDFLAGS) $< -o $@

.PHONY: bench-build bench bench-guard bench-peer size lint format
bench-build: $(BENCH_PROGRAMS) $(BUILD)/bench/lmdb_trace.so ## build the benchmarks without running them

# BENCH="warm cold" chooses workloads; FILES, N, ROWS and RUNS make them smaller: see bench/run.sh.
bench: bench-build ## run the benchmarks against their budgets; REPORT=BENCHMARKS.md keeps the table
	@BUILD='$(BUILD)' CC='$(CC)' sh bench/run.sh $(BENCH)

bench-guard: bench-build ## instructions of the hot paths beside bench/guard.txt; UPDATE=1 writes that anew
	@BUILD='$(BUILD)' CC='$(CC)' UPDATE='$(UPDATE)' sh bench/guard.sh

bench-peer: bench-build ## the same pipelines in CocoIndex, installed from PyPI, and the ratios
	@BUILD='$(BUILD)' sh bench/peer/run.sh $(BENCH)

size: ## the budgets: code, lines, lengths of functions and lines
	@BUILD='$(BUILD)' CC='$(CC)' sh scripts/size

# Floor by floor: an analysis of the whole unit takes hours.
LINTED := $(wildcard engine/*.c) $(PARTS:%=%.c) $(filter-out tools/cocoindex.c,$(wildcard tools/*.c))
LINT_FLAGS := -std=c11 -I. $(PART_CFLAGS) -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE -DCOCO__SEPARATE
lint: ## static analysis with whichever of gcc, clang and cppcheck is installed; scripts/lint.known is what isn't so
	@STALE=$(if $(LEFT_OUT),,1) scripts/lint $(LINTED) -- $(LINT_FLAGS)

format: ## strip trailing blanks; name tabs and lines over 120 columns
	@sh scripts/format

# ---- Handing it on ------------------------------------------------------------------------------------------------------

.PHONY: dist static install uninstall clean help
dist: ## write dist/: the two self-contained files, the connectors and ops
	scripts/amalgamate $(DIST) $(ALL_PARTS)

# A distribution may ship a library without its static archive (Debian's md4c): what can't be linked is left out and named.
static: all ## fully static programs, into BUILD/static
	@mkdir -p $(BUILD)/static
	$(CC) $(CFLAGS) $(LDFLAGS) -static $(TOOL) $(BUILD)/libcocoindex.a $(LIBS) -o $(BUILD)/static/cocoindex
	$(CC) $(CFLAGS) $(LDFLAGS) -static $(BUILD)/obj/examples/tour/tour.o $(BUILD)/libcocoindex.a $(LIBS) -o $(BUILD)/static/tour
	@$(if $(filter md2html,$(EXAMPLES)),$(CC) $(CFLAGS) $(LDFLAGS) -static $(BUILD)/obj/examples/md2html/md2html.o \
	 $(BUILD)/libcocoindex.a $(call example_libs,md2html) $(LIBS) -o $(BUILD)/static/md2html 2>$(BUILD)/static/md2html.log || \
	 echo 'notice: there is no static md4c here: build/static/md2html is left out')

install: all ## install the library, headers, tool and pkg-config file under PREFIX
	$(INSTALL) -d $(DESTDIR)$(INCLUDEDIR)/cocoindex/connectors $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(BINDIR)
	$(INSTALL) -d $(DESTDIR)$(INCLUDEDIR)/cocoindex/ops
	$(INSTALL) -m 644 cocoindex.h $(DESTDIR)$(INCLUDEDIR)/cocoindex
	for h in $(PARTS:%=%.h); do $(INSTALL) -m 644 $$h $(DESTDIR)$(INCLUDEDIR)/cocoindex/$$h; done
	$(INSTALL) -m 644 $(BUILD)/libcocoindex.a $(DESTDIR)$(LIBDIR)
	$(INSTALL) -m 755 $(BUILD)/libcocoindex.so $(DESTDIR)$(LIBDIR)/libcocoindex.so.$(VERSION)
	ln -sf libcocoindex.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libcocoindex.so.$(MAJOR)
	ln -sf libcocoindex.so.$(VERSION) $(DESTDIR)$(LIBDIR)/libcocoindex.so
	$(INSTALL) -m 755 $(BUILD)/cocoindex $(DESTDIR)$(BINDIR)
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' \
	 cocoindex.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/cocoindex.pc
	chmod 644 $(DESTDIR)$(LIBDIR)/pkgconfig/cocoindex.pc

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(INCLUDEDIR)/cocoindex/cocoindex.h $(PARTS:%=$(DESTDIR)$(INCLUDEDIR)/cocoindex/%.h)
	-cd $(DESTDIR)$(INCLUDEDIR) && rmdir cocoindex/connectors cocoindex/ops cocoindex
	rm -f $(DESTDIR)$(LIBDIR)/libcocoindex.a $(DESTDIR)$(LIBDIR)/libcocoindex.so $(DESTDIR)$(LIBDIR)/libcocoindex.so.$(MAJOR)
	rm -f $(DESTDIR)$(LIBDIR)/libcocoindex.so.$(VERSION) $(DESTDIR)$(LIBDIR)/pkgconfig/cocoindex.pc $(DESTDIR)$(BINDIR)/cocoindex

clean: ## remove what was built
	rm -rf $(BUILD) $(DIST)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
