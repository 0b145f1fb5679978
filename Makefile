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
SEEDS    = 10000
MINUTES  = 30
WORKERS  = 2
ARGS     =

.PHONY: help rehearsal lab lab-down lab-test howto disaster test lint sim explore bench bench-agents peers pacemaker chaos install clean

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

explore: ## breadth-first search of a small world through the real core
	$(PYTHON) tests/sim/explore.py $(ARGS)

chaos: ## random faults against a real pair on this machine (root; MINUTES=30 ARGS="--seed 21")
	@sh tools/setup.sh rehearsal
	@$(PYTHON) tests/chaos --minutes $(MINUTES) $(ARGS)

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

install: ## install under DESTDIR (what the packages call)
	install -d $(DESTDIR)$(LIBDIR) $(DESTDIR)$(OCFDIR) $(DESTDIR)$(SBINDIR) $(DESTDIR)$(BINDIR) \
	    $(DESTDIR)$(COMPAT)/resource.d $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR) $(DESTDIR)$(GLUEDIR) $(DESTDIR)$(UNITDIR) $(DESTDIR)$(DOCDIR)/examples
	cd lib && find failover_kit -name '*.py' -exec install -D -m 0644 {} $(abspath $(DESTDIR)/$(LIBDIR))/{} \;
	$(PYTHON) -m compileall -q -s $(abspath $(DESTDIR)/) -p / $(abspath $(DESTDIR)/$(LIBDIR))
	install -m 0755 ocf/* $(DESTDIR)$(OCFDIR)
	install -m 0755 stonith/fence_wti_ips800 bin/failoverd bin/failoverctl $(DESTDIR)$(SBINDIR)
	install -m 0755 bin/wti-emulator $(DESTDIR)$(BINDIR)
	ln -sf $(SBINDIR)/fence_wti_ips800 $(DESTDIR)$(COMPAT)/fence_wti
	install -m 0755 stonith/stonith compat/hb_standby compat/hb_takeover compat/cl_status compat/heartbeat $(DESTDIR)$(COMPAT)
	install -D -m 0755 -t $(DESTDIR)$(LIBDIR)/alerts etc/alerts/*
	cp -P compat/resource.d/* $(DESTDIR)$(COMPAT)/resource.d
	install -m 0755 stonith/external/failover-kit-wti $(DESTDIR)$(GLUEDIR)
	ln -sf failover-kit-wti $(DESTDIR)$(GLUEDIR)/failover-kit-wti-file
	ln -sf failover-kit-wti $(DESTDIR)$(GLUEDIR)/failover-kit-agent
	sed 's|/usr/sbin/|$(SBINDIR)/|; s|/usr/share/doc/failover-kit|$(DOCDIR)|' etc/failoverd.service \
	    > $(DESTDIR)$(UNITDIR)/failoverd.service
	chmod 0644 $(DESTDIR)$(UNITDIR)/failoverd.service
	install -m 0644 etc/ha.cf etc/haresources etc/authkeys.example $(DESTDIR)$(DOCDIR)/examples
	install -m 0755 etc/failoverd.init $(DESTDIR)$(DOCDIR)/examples
	install -m 0644 README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md COPYING $(DESTDIR)$(DOCDIR)
	$(PYTHON) -IB tools/manpages.py $(DESTDIR)$(MANDIR)
	$(PYTHON) -IB tools/completions.py $(DESTDIR)$(BASHDIR) $(DESTDIR)$(ZSHDIR)
	cd docs && find . \( -name '*.md' -o -name '*.svg' \) -exec install -D -m 0644 {} $(abspath $(DESTDIR)/$(DOCDIR))/docs/{} \;

clean: ## remove what the other targets made in this directory
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist rehearsal.html howto.html howto.json howto-logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
