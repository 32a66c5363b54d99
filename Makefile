# The way from a fresh clone: installs the Debian packages that are missing, writes the real makefile
# (autoreconf, configure) and hands the goals over. From then on GNU make reads GNUmakefile instead.
# `make help` lists the goals; CONFIGURE_FLAGS goes to configure.

CONFIGURE_FLAGS =
MAKEFLAGS += --no-print-directory

goals := $(or $(MAKECMDGOALS),all)
first := $(firstword $(goals))
# These need no build, so a fresh clone has nothing to prepare for them.
idle := help clean mostlyclean distclean maintainer-clean
jobs := $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: all $(goals)
all:

ifeq ($(filter-out $(idle),$(goals)),)
help:
	@packaging/make-help GNUmakefile.am
clean mostlyclean distclean maintainer-clean:
	@echo 'nothing was built yet'
else
$(first):
	@packaging/install-deps build check
	@test -x configure || { echo 'autoreconf -i'; autoreconf -i; }
	@test -f GNUmakefile || { echo './configure $(CONFIGURE_FLAGS)'; ./configure --quiet $(CONFIGURE_FLAGS); }
	@$(MAKE) $(jobs) -f GNUmakefile $(goals)
$(filter-out $(first),$(goals)): $(first)
	@:
endif
