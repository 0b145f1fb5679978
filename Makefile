# failover-kit. `make help` lists what can be asked for.
# /usr/bin/python3 everywhere: never a python3 that PATH happens to find first.

PYTHON   = /usr/bin/python3
VENV     = .venv/bin
DESTDIR  =
PREFIX   = /usr
LIBDIR   = $(PREFIX)/share/failover-kit
OCFDIR   = $(PREFIX)/lib/ocf/resource.d/failover-kit
COMPAT   = $(PREFIX)/lib/failover-kit/compat
SBINDIR  = $(PREFIX)/sbin
GLUEDIR  = $(PREFIX)/lib/stonith/plugins/external
BINDIR   = $(PREFIX)/bin
UNITDIR  = /lib/systemd/system
DOCDIR   = $(PREFIX)/share/doc/failover-kit
MANDIR   = $(PREFIX)/share/man
BASHDIR  = $(PREFIX)/share/bash-completion/completions
ZSHDIR   = $(PREFIX)/share/zsh/vendor-completions
TMPFILES = $(PREFIX)/lib/tmpfiles.d
SHAREDIR = $(PREFIX)/share
SEEDS    = 10000
MINUTES  = 30
WORKERS  = 2
ARGS     =

.PHONY: help rehearsal lab lab-down lab-test howto disaster test lint sim explore counterexamples bench bench-agents bench-failover peers peers-heartbeat \
    pacemaker heartbeat chaos campaign docs docs-test install placed install-compat placed-compat deb rpm packages-test clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

rehearsal: ## two nodes, a disk, a switch and a client on this machine, through fourteen scenes (root; ARGS="--scene 3")
	@sh tools/setup.sh rehearsal
	@$(PYTHON) -I bin/rehearsal $(ARGS)

howto: ## the failover HOWTO step by step in virtual machines with kernels of their own (root; ARGS="--help")
	@sh tools/setup.sh lab
	@$(PYTHON) tests/lab howto $(ARGS)

disaster: ## what only real kernels can show (root; ARGS=hung-stop or ARGS=without-fencing)
	@sh tools/setup.sh lab
	@$(PYTHON) tests/lab disaster $(ARGS)

lab: ## the same machines, left running to try things on; prints how to get in (root)
	@sh tools/setup.sh lab
	@$(PYTHON) tests/lab up $(ARGS)

lab-down: ## end that lab; nothing of it stays but its cache (.lab/cache)
	@$(PYTHON) tests/lab down $(ARGS)

test: ## everything that is checked before a change lands (root; ARGS=tests/unit: part of it)
	@sh tools/setup.sh test
	@sh tools/venv.sh
	@$(MAKE) --no-print-directory lint
	$(VENV)/pytest -m 'not release and not alone' -n $(WORKERS) --dist loadfile $(ARGS)
	[ -n "$(ARGS)" ] || $(VENV)/pytest -m 'alone and not release' tests/labrun tests/system

lab-test: ## the release check of agents, units and disasters in virtual machines (root)
	@sh tools/setup.sh test
	@sh tools/venv.sh
	$(VENV)/pytest -m release $(ARGS)

lint: ## ruff and mypy --strict (inside `make test`)
	$(VENV)/ruff check
	$(VENV)/mypy

sim: ## the release check of the manager: SEEDS=10000 simulated clusters, audited after every step
	$(PYTHON) tests/sim/run.py --seeds $(SEEDS) $(ARGS)

explore: ## breadth-first search of a small world (one group, and two on two homes) through the real core
	$(PYTHON) tests/sim/explore.py $(ARGS)

counterexamples: ## each rule taken away: the shortest schedule that ends badly (ARGS="--rule 05")
	$(PYTHON) tests/sim/explore.py --counterexamples $(ARGS)

chaos: ## random faults against a real pair on this machine (root; MINUTES=30 ARGS="--seed 21")
	@sh tools/setup.sh rehearsal
	@$(PYTHON) tests/chaos --minutes $(MINUTES) $(ARGS)

campaign: ## power cuts at random moments in virtual machines, durability looked up (root; ARGS="--minutes 30 --seed 35")
	@sh tools/setup.sh lab
	@$(PYTHON) tests/lab campaign $(ARGS)

bench: ## fencing beside fence_wti and cluster-glue's stonith, medians and ratios (root; ARGS="--runs 9")
	@sh tools/setup.sh test
	$(PYTHON) bench/fencing $(ARGS)

bench-agents: ## the agents beside ClusterLabs' and the bare interpreter, with targets (root; ARGS="--only 'ipaddr-*'")
	@sh tools/setup.sh test
	$(PYTHON) bench/agents $(ARGS)

peers: ## what users asked of ClusterLabs' agents, tried with both sides (root; ARGS="--write --many 2000")
	@sh tools/setup.sh test
	@sh tools/venv.sh
	$(VENV)/python tests/needs $(ARGS)

pacemaker: ## the exported pair under Debian's corosync and Pacemaker (root; ARGS="move node-kill")
	@sh tools/setup.sh test
	$(PYTHON) tests/pacemaker $(ARGS)

heartbeat: ## our scripts and plugin under Debian's Heartbeat, and the guide to failoverd (root; ARGS="power-cut migrate")
	@sh tools/setup.sh test
	$(PYTHON) tests/heartbeat $(ARGS)

peers-heartbeat: ## Heartbeat 3 and failoverd through the same schedules (root; ARGS="--write docs/versus-heartbeat.md")
	@sh tools/setup.sh test
	$(PYTHON) tests/versus $(ARGS)

docs: ## all pages and the manual as HTML, into build/docs
	@sh tools/setup.sh docs
	$(PYTHON) -IB tools/docs.py build/docs

docs-test: ## links, commands, files, configuration and alarms that the documents name (root)
	@sh tools/setup.sh test
	@sh tools/venv.sh
	$(VENV)/pytest tests/docs $(ARGS)

bench-failover: ## failovers beside Heartbeat, Pacemaker and keepalived (root; ARGS="--runs 7 --minutes 60 --write docs/measurements.md")
	@sh tools/setup.sh test
	$(PYTHON) bench/failover $(ARGS)

install: ## install under DESTDIR (what the packages of debian/ and rpm/ call)
	@umask 022 && $(MAKE) --no-print-directory placed

placed: # directories and pages are everybody's to read, whatever root's umask is
	install -d $(DESTDIR)$(LIBDIR) $(DESTDIR)$(OCFDIR) $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BINDIR) \
	    $(DESTDIR)$(COMPAT)/resource.d $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR) $(DESTDIR)$(GLUEDIR) $(DESTDIR)$(UNITDIR) $(DESTDIR)$(DOCDIR)/examples/mon
	cd lib && find failover_kit -name '*.py' -exec install -D -m 0644 {} $(abspath $(DESTDIR)/$(LIBDIR))/{} \;
	$(PYTHON) -m compileall -q --invalidation-mode unchecked-hash -s $(abspath $(DESTDIR)/) -p / $(abspath $(DESTDIR)/$(LIBDIR))
	install -m 0755 ocf/* $(DESTDIR)$(OCFDIR)
	install -m 0755 stonith/fence_wti_ips800 bin/failoverd bin/failoverctl $(DESTDIR)$(SBINDIR)
	install -m 0755 bin/wti-emulator $(DESTDIR)$(BINDIR)
	install -m 0755 bin/rehearsal $(DESTDIR)$(BINDIR)/failover-rehearsal
	ln -sfn $(SBINDIR)/fence_wti_ips800 $(DESTDIR)$(COMPAT)/fence_wti
	install -m 0755 stonith/stonith compat/hb_standby compat/hb_takeover compat/cl_status compat/heartbeat $(DESTDIR)$(COMPAT)
	install -D -m 0755 -t $(DESTDIR)$(LIBDIR)/alerts etc/alerts/*
	cp -P compat/resource.d/* $(DESTDIR)$(COMPAT)/resource.d
	install -m 0755 stonith/external/failover-kit-wti $(DESTDIR)$(GLUEDIR)
	ln -sfn failover-kit-wti $(DESTDIR)$(GLUEDIR)/failover-kit-wti-file
	ln -sfn failover-kit-wti $(DESTDIR)$(GLUEDIR)/failover-kit-agent
	sed 's|/usr/sbin/|$(SBINDIR)/|; s|/usr/share/doc/failover-kit|$(DOCDIR)|' etc/failoverd.service \
	    > $(DESTDIR)$(UNITDIR)/failoverd.service
	chmod 0644 $(DESTDIR)$(UNITDIR)/failoverd.service
	install -D -m 0644 etc/heartbeat-failoverd.conf $(DESTDIR)$(UNITDIR)/heartbeat.service.d/failoverd.conf
	install -D -m 0644 etc/failover-kit.tmpfiles $(DESTDIR)$(TMPFILES)/failover-kit.conf
	install -m 0644 etc/ha.cf etc/haresources etc/authkeys.example etc/failover-watch.service etc/watch-authorized_keys.example \
	    $(DESTDIR)$(DOCDIR)/examples
	install -m 0755 etc/failoverd.init $(DESTDIR)$(DOCDIR)/examples
	install -m 0755 etc/mon/failover.alert $(DESTDIR)$(DOCDIR)/examples/mon
	install -m 0644 etc/mon/mon.cf.example $(DESTDIR)$(DOCDIR)/examples/mon
	install -m 0644 README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md COPYING $(DESTDIR)$(DOCDIR)
	$(PYTHON) -IB tools/manpages.py $(DESTDIR)$(MANDIR)
	$(PYTHON) -IB tools/completions.py $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR)
	cd docs && find . \( -name '*.md' -o -name '*.svg' -o -name '*.png' \) -exec install -D -m 0644 {} $(abspath $(DESTDIR)/$(DOCDIR))/docs/{} \;

# Paths of other packages: fence-agents, cluster-glue and heartbeat. Only a package whose scripts divert theirs
# (debian/failover-kit-compat.preinst), or the administrator of a machine without them, puts these in place.
install-compat: ## Heartbeat's and fence_wti's names, under DESTDIR (a package of its own calls this)
	@umask 022 && $(MAKE) --no-print-directory placed-compat

placed-compat:
	install -d $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BINDIR) $(DESTDIR)$(SHAREDIR)/heartbeat $(DESTDIR)$(MANDIR)/man8
	ln -sfn $(COMPAT)/fence_wti $(DESTDIR)$(SBINDIR)/fence_wti
	ln -sfn $(COMPAT)/stonith $(DESTDIR)$(SBINDIR)/stonith
	ln -sfn $(COMPAT)/cl_status $(DESTDIR)$(BINDIR)/cl_status
	ln -sfn $(COMPAT)/hb_standby $(DESTDIR)$(SHAREDIR)/heartbeat/hb_standby
	ln -sfn $(COMPAT)/hb_takeover $(DESTDIR)$(SHAREDIR)/heartbeat/hb_takeover
	echo '.so man8/fence_wti_ips800.8' > $(DESTDIR)$(MANDIR)/man8/fence_wti.8

deb: ## Debian packages into build/deb, checked by lintian (debhelper dh-python lintian)
	@sh tools/packages.sh deb

rpm: ## RPM packages into build/rpm, checked by rpmlint (rpm rpmlint)
	@sh tools/packages.sh rpm

packages-test: ## the Debian packages in clean roots: build, install, ocf-tester, rehearsal, upgrade, diversions, a systemd that boots (root; 20 minutes)
	@sh tools/setup.sh test
	@sh tools/venv.sh
	$(VENV)/pytest -m release tests/packaging $(ARGS)

clean: ## remove what the other targets made in this directory
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist rehearsal.html howto.html howto.json howto-logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
