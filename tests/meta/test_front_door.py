# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user types first: the Makefile and its scripts, and the inventories they start from."""

from __future__ import annotations

import ipaddress
import itertools
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
INVENTORIES = sorted(
    path
    for path in itertools.chain(
        (REPOSITORY / "inventories").glob("*/hosts.yml"), (REPOSITORY / "molecule").glob("*/inventory/hosts.yml")
    )
    if "local_machines_name" in path.read_text()
)
SHELL_SCRIPTS = sorted(
    path
    for path in (*(REPOSITORY / "scripts").iterdir(), REPOSITORY / ".ci" / "run")
    if path.is_file() and path.read_bytes().startswith(b"#!/usr/bin/env bash")
)


def run(*argv: str) -> subprocess.CompletedProcess[str]:
    # A make that runs the tests must not hand its own flags on.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(argv, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


def test_help_lists_every_target() -> None:
    declared = re.search(r"^\.PHONY: (.*)$", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert declared
    shown = run("make", "help").stdout
    missing = [target for target in declared[1].split() if f"make {target} " not in shown]
    assert missing == ["check-arguments"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["up", "SOURCE=elsewhere"], "SOURCE is 'elsewhere'; it is build or upstream"),
        (["up", "INVENTORY=inventories/none"], "INVENTORY is 'inventories/none', which does not exist"),
        (["down", "INVENTORY=inventories/none"], "inventories/baremetal inventories/local"),
    ],
)
def test_wrong_arguments_are_refused_in_words(arguments: list[str], said: str) -> None:
    refused = run("make", *arguments)
    assert refused.returncode != 0
    assert said in refused.stderr


@pytest.mark.parametrize(("source", "fill"), [("build", "build"), ("upstream", "download")])
def test_up_is_one_run_of_ansible(source: str, fill: str) -> None:
    shown = run("make", "--dry-run", "up", f"SOURCE={source}", "INVENTORY=inventories/local_ha").stdout
    assert shown.count("ansible-playbook") == 1
    assert re.findall(r"playbooks/(\w+)\.yml", shown) == ["provision", "mirror", "object_store", "site", "backup_host"]
    assert f"mirror_fill={fill}" in shown


def test_setup_does_nothing_when_there_is_nothing_to_do() -> None:
    run("scripts/setup")
    again = run("scripts/setup")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_an_unknown_tier_is_refused() -> None:
    refused = run("scripts/test", "nonsense")
    assert refused.returncode == 2
    assert "there is no tier nonsense" in refused.stderr


def test_down_leaves_machines_of_ones_own_alone() -> None:
    refused = run("scripts/down", "inventories/plain")
    assert refused.returncode == 2
    assert "machines of your own" in refused.stderr


def test_down_says_what_takes_a_providers_machines_away() -> None:
    refused = run("scripts/down", "inventories/aws")
    assert refused.returncode == 2
    assert "infrastructure_state=absent" in refused.stderr


@pytest.mark.parametrize("script", SHELL_SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_are_strict_and_executable(script: Path) -> None:
    assert run("bash", "-n", str(script)).returncode == 0
    assert re.search(r"^set -e?uo pipefail$", script.read_text(), re.MULTILINE)
    assert os.access(script, os.X_OK)


def hosts(group: dict) -> dict[str, dict]:
    """All hosts of an inventory's group and of those below it, with their variables."""
    found = {name: dict(variables or {}) for name, variables in group.get("hosts", {}).items()}
    for child in group.get("children", {}).values():
        for name, variables in hosts(child or {}).items():
            found.setdefault(name, {}).update(variables)
    return found


@pytest.mark.parametrize("path", INVENTORIES, ids=lambda path: str(path.parent.relative_to(REPOSITORY)))
def test_a_local_inventorys_addresses_are_in_its_network(path: Path) -> None:
    inventory = yaml.safe_load(path.read_text())["all"]
    network = ipaddress.ip_network(inventory["vars"]["local_machines_cidr"])
    addresses = [variables["ansible_host"] for variables in hosts(inventory).values()]
    addresses.append(inventory["vars"]["api_endpoint_vip"])
    assert all(ipaddress.ip_address(address) in network for address in addresses)
    assert len(set(addresses)) == len(addresses)


def test_local_inventories_get_along_with_one_another() -> None:
    variables = [yaml.safe_load(path.read_text())["all"]["vars"] for path in INVENTORIES]
    assert len({each["local_machines_name"] for each in variables}) == len(INVENTORIES)
    networks = [ipaddress.ip_network(each["local_machines_cidr"]) for each in variables]
    assert not [pair for pair in itertools.combinations(networks, 2) if pair[0].overlaps(pair[1])]


@pytest.mark.parametrize("name", ["local", "local_ha"])
def test_local_inventories_share_their_settings(name: str) -> None:
    link = REPOSITORY / "inventories" / name / "group_vars"
    assert link.resolve() == REPOSITORY / "inventories" / "_local" / "group_vars"


@pytest.mark.parametrize("file", ["machines.yml", "group_vars/all/cluster.yml", "group_vars/all/infrastructure.yml"])
def test_inventories_of_providers_describe_the_same(file: str) -> None:
    """What is a provider's own is in provider.yml, and in how its images let one in."""
    found = sorted(path.parent for path in (REPOSITORY / "inventories").glob("*/machines.yml"))
    assert len(found) >= 3
    assert len({(inventory / file).read_text() for inventory in found}) == 1
