# The only place for compilers, flags, switches, versions and paths.

VERSION   := 0.1
BUILD     := build
PREFIX    ?= /usr/local
DESTDIR   ?=
SYSCONFDIR ?= /etc
RUNDIR    ?= /run/bulkhead
LIBDIR    ?= $(PREFIX)/lib

CC        := gcc
CLANG     := clang
PYTHON    := python3
# DEBUG=y builds a hostile hypervisor: poisoned pages, invariant checks, lock order checks.
DEBUG     ?= n

WARNINGS  := -Wall -Wextra -Werror -Wshadow -Wundef -Wmissing-prototypes -Wstrict-prototypes \
             -Wpointer-arith -Wwrite-strings -Wvla -Wno-unused-parameter

# User space: programs and libraries of Dom0.
USER_CFLAGS := -std=gnu11 -O2 -g -fPIC -D_GNU_SOURCE -DBULKHEAD_VERSION='"$(VERSION)"' $(WARNINGS) \
               -fstack-protector-strong -D_FORTIFY_SOURCE=2 -Ihypervisor/include
# Host tests run everything under sanitizers.
TEST_CFLAGS := -std=gnu11 -O1 -g -D_GNU_SOURCE -DBULKHEAD_VERSION='"$(VERSION)"' $(WARNINGS) \
               -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
               -Ihypervisor/include
FUZZ_CFLAGS := -std=gnu11 -O1 -g -D_GNU_SOURCE -DBULKHEAD_VERSION='"$(VERSION)"' -fsanitize=fuzzer,address,undefined \
               -fno-sanitize-recover=undefined -Ihypervisor/include
# Seconds each fuzz target runs in `make test`.
FUZZ_SECONDS ?= 5
