# Builds and installs the C library where there is no cargo-c. docs/install.md tells more.
#
#   make                 builds the shared and the static library (cargo, release)
#   make install         installs libraries, headers, adobe-target.pc and the CMake package; builds only what is missing or
#                        older than its sources
#   make uninstall       removes what `make install` with the same variables has installed
#
#   PREFIX=/usr/local    where they will be used; absolute
#   DESTDIR=             a stage that they are put into instead, for packages
#   LIBDIR=$(PREFIX)/lib  INCLUDEDIR=$(PREFIX)/include
#   TARGET=              cargo's target, for another system; then also LD=, AR=, OBJCOPY=, STRIP= of that system
#   CARGO_TARGET_DIR=target

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
PKGCONFIGDIR = $(LIBDIR)/pkgconfig
CMAKEDIR = $(LIBDIR)/cmake/AdobeTarget

CARGO ?= cargo
CARGO_TARGET_DIR ?= target
TARGET ?= $(CARGO_BUILD_TARGET)
OBJCOPY ?= objcopy
STRIP ?= strip
INSTALL ?= install

# The ABI's, not the crate's: the first number is target_abi_version().
SONAME = libadobe_target.so.1
FILE = libadobe_target.so.1.0.0
# What the compiler names, but -lgcc_s: a C compiler adds its own unwinder, and -lgcc_s does not go with -static.
NATIVE_LIBRARIES = -lutil -lrt -lpthread -lm -ldl -lc
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

# The recipes have these as variables of the shell: blanks and quotes in them are no matter.
export DESTDIR PREFIX LIBDIR INCLUDEDIR PKGCONFIGDIR CMAKEDIR CARGO_TARGET_DIR

ifneq ($(words $(CARGO_TARGET_DIR)),1)
$(error CARGO_TARGET_DIR must not have blanks in its path: $(CARGO_TARGET_DIR))
endif

# cargo-zigbuild writes a version of glibc after the target's name: x86_64-unknown-linux-gnu.2.17
BUILT = $(CARGO_TARGET_DIR)/$(if $(TARGET),$(firstword $(subst ., ,$(TARGET)))/)release
# What is installed. `make install` builds nothing while this is newer than the sources.
READY = $(BUILT)/install
SOURCES := Makefile Cargo.toml Cargo.lock build.rs abi/localise abi/symbols.txt $(shell find src -type f)
HEADERS := $(wildcard include/adobe_target.h include/adobe_target.hpp)

all: $(READY)/done
	@ls -l $(READY)/$(FILE) $(READY)/libadobe_target.a

# Another build of the crate leaves its libraries under the same names, and cargo would take them for these. A source that
# is changed meanwhile is newer than what is made: it has the time of the beginning.
$(READY)/done: $(SOURCES)
	rm -f $@ $(BUILT)/deps/libadobe_target.so $(BUILT)/deps/libadobe_target.a
	mkdir -p $(READY)
	touch $@.new
	$(CARGO) rustc --release --lib --crate-type cdylib,staticlib --locked $(if $(TARGET),--target $(TARGET))
	$(STRIP) -o $(READY)/$(FILE) $(BUILT)/libadobe_target.so
	ln -sf $(FILE) $(READY)/$(SONAME)
	ln -sf $(FILE) $(READY)/libadobe_target.so
	LD='$(LD)' AR='$(AR)' OBJCOPY='$(OBJCOPY)' \
	    abi/localise $(BUILT)/libadobe_target.a $(READY)/libadobe_target.a abi/symbols.txt
	mv $@.new $@

# Before anything is built, too.
places:
	@for directory in "$$PREFIX" "$$LIBDIR" "$$INCLUDEDIR"; do case $$directory in \
	    /*) ;; *) echo "PREFIX, LIBDIR and INCLUDEDIR must be absolute paths: $$directory" >&2; exit 1;; esac; done
	@if [ "$$DESTDIR$$INCLUDEDIR/adobe_target.h" -ef include/adobe_target.h ]; then \
	    echo "PREFIX must not be the directory of the sources: $$PREFIX" >&2; exit 1; fi

install: places $(READY)/done
	$(INSTALL) -d "$$DESTDIR$$LIBDIR" "$$DESTDIR$$INCLUDEDIR" "$$DESTDIR$$PKGCONFIGDIR" "$$DESTDIR$$CMAKEDIR"
	$(INSTALL) -m 755 $(READY)/$(FILE) "$$DESTDIR$$LIBDIR/$(FILE)"
	ln -sf $(FILE) "$$DESTDIR$$LIBDIR/$(SONAME)"
	ln -sf $(FILE) "$$DESTDIR$$LIBDIR/libadobe_target.so"
	$(INSTALL) -m 644 $(READY)/libadobe_target.a "$$DESTDIR$$LIBDIR/libadobe_target.a"
	$(INSTALL) -m 644 $(HEADERS) "$$DESTDIR$$INCLUDEDIR"
	$(INSTALL) -m 644 cmake/AdobeTargetConfig.cmake cmake/AdobeTargetConfigVersion.cmake "$$DESTDIR$$CMAKEDIR"
	@below() { case $$1 in "$$PREFIX"/*) printf '$${prefix}%s' "$${1#"$$PREFIX"}";; *) printf '%s' "$$1";; esac; }; \
	{ \
	    printf 'prefix=%s\n' "$$PREFIX"; \
	    printf 'exec_prefix=$${prefix}\n'; \
	    printf 'libdir=%s\n' "$$(below "$$LIBDIR")"; \
	    printf 'includedir=%s\n\n' "$$(below "$$INCLUDEDIR")"; \
	    printf 'Name: adobe-target\n'; \
	    printf 'Description: Client of the Adobe Target Delivery API\n'; \
	    printf 'Version: $(VERSION)\n'; \
	    printf 'Libs: -L"$${libdir}" -ladobe_target\n'; \
	    printf 'Cflags: -I"$${includedir}"\n'; \
	    printf 'Libs.private: $(NATIVE_LIBRARIES)\n'; \
	} > "$$DESTDIR$$PKGCONFIGDIR/adobe-target.pc"
	@chmod 644 "$$DESTDIR$$PKGCONFIGDIR/adobe-target.pc"

uninstall:
	for name in $(FILE) $(SONAME) libadobe_target.so libadobe_target.a; do rm -f "$$DESTDIR$$LIBDIR/$$name"; done
	rm -f "$$DESTDIR$$INCLUDEDIR/adobe_target.h" "$$DESTDIR$$INCLUDEDIR/adobe_target.hpp"
	rm -f "$$DESTDIR$$PKGCONFIGDIR/adobe-target.pc"
	rm -f "$$DESTDIR$$CMAKEDIR/AdobeTargetConfig.cmake" "$$DESTDIR$$CMAKEDIR/AdobeTargetConfigVersion.cmake"
	[ ! -d "$$DESTDIR$$CMAKEDIR" ] || rmdir "$$DESTDIR$$CMAKEDIR"

.PHONY: all install places uninstall
.DELETE_ON_ERROR:
