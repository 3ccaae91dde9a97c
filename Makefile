# The front door. `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
MAKEFLAGS += --no-print-directory

INVENTORY ?= inventories/local
# build: compile pinned sources. upstream: download released binaries, verified by their checksums.
SOURCE ?= build
# down: 1 takes all machines this checkout made, unused node images, the caches and .caravan.
ALL ?=
# More arguments for ansible-playbook, such as ARGS='--check --diff'.
ARGS ?=

export PATH := $(CURDIR)/.caravan/venv/bin:$(CURDIR)/.caravan/bin:$(PATH)
# podman and buildah go by the project's own settings, never by the machine's.
export CONTAINERS_CONF := $(CURDIR)/roles/local_machines/files/containers.conf
export PWD := $(CURDIR)

name = $(notdir $(patsubst %/,%,$(INVENTORY)))
fill = $(if $(filter upstream,$(SOURCE)),download,build)

.PHONY: help setup check-arguments up down lock pin test test-unit test-meta test-lint test-integration test-molecule test-providers test-infrastructure test-backup

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	echo
	echo '  INVENTORY=inventories/local_ha   another cluster (default: inventories/local)'
	echo '  SOURCE=upstream                  download released artifacts instead of building them'
	echo '  ALL=1                            with down: everything, also images, caches and .caravan'
	echo "  ARGS='--check --diff'            more arguments for ansible-playbook"

setup: ## Prepare this machine: packages, Python environment, Go
	@scripts/setup

check-arguments:
	@case "$(SOURCE)" in build | upstream) ;; *) echo "SOURCE is '$(SOURCE)'; it is build or upstream" >&2; exit 2 ;; esac
	if ! [ -e "$(INVENTORY)" ]; then
	  echo "INVENTORY is '$(INVENTORY)', which does not exist. There are: $$(ls -d inventories/[a-z]* | xargs)" >&2
	  exit 2
	fi

up: check-arguments setup ## A cluster: machines, artifacts, Kubernetes
	@ansible-playbook -i "$(INVENTORY)" playbooks/provision.yml playbooks/mirror.yml playbooks/object_store.yml \
	  playbooks/site.yml playbooks/backup_host.yml -e mirror_fill=$(fill) $(ARGS)
	@# The mirror has kubectl; a copy that can be run, for whoever has none.
	kubectl=$$(ls -v .caravan/cache/mirror/files/dl.k8s.io/release/*/bin/linux/$$(dpkg --print-architecture)/kubectl | tail -1)
	cmp --quiet "$$kubectl" .caravan/bin/kubectl || install -D --mode=0755 "$$kubectl" .caravan/bin/kubectl

down: check-arguments ## Remove the machines of INVENTORY, with all they hold
	@scripts/down "$(INVENTORY)" $(if $(ALL),all)

lock: setup ## Write requirements/*.txt anew from requirements/*.in
	@scripts/lock

pin: setup ## Record upstream's published checksums in the catalogue (needs upstream)
	@scripts/pin

test: setup ## All tests
	@scripts/test unit meta lint integration molecule

test-unit: setup ## Pure functions, templates, specs
	@scripts/test unit

test-meta: setup ## The rules of this repository
	@scripts/test meta

test-lint: setup ## Linters, types, sanity, docs
	@scripts/test lint

test-integration: setup ## Against real servers on this machine
	@scripts/test integration

test-molecule: setup ## Against real clusters on this machine
	@scripts/test molecule

test-providers: setup ## All of the providers' contract, OpenStack's own services and AWS's cloud controller too
	@scripts/test providers

test-infrastructure: setup ## From a description to a cluster and back, on the machines of every provider's stand-in
	@scripts/test infrastructure

test-backup: setup ## All of backups: also keys, certificates, lost quorum, rollbacks; `make test` has drills and a restore
	@scripts/test backup
