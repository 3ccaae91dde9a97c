# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role object_store puts on a host."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from rendering import ROLES, Host

USERS = [{"access_key": "demo-writer", "secret_key": "w" * 20}, {"access_key": "demo-keeper", "secret_key": "k" * 20}]


def store(**settings: Any) -> Host:
    given = {"object_store_root_secret_key": "r" * 20, "object_store_users": USERS, **settings}
    return Host("object_store", "store1", {"store1": "10.0.0.40"}, {"object_store": ["store1"]}, **given)


def environment(host: Host) -> dict[str, str]:
    lines = [line for line in host.template("environment.j2").splitlines() if not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_the_users_are_those_that_are_listed_and_nothing_more_than_users() -> None:
    accounts = json.loads(store().template("users.json.j2"))["accessAccounts"]
    assert {name: account["secret"] for name, account in accounts.items()} == {
        user["access_key"]: user["secret_key"] for user in USERS
    }
    assert {account["role"] for account in accounts.values()} == {"user"}
    assert json.loads(store(object_store_users=[]).template("users.json.j2")) == {"accessAccounts": {}}


@pytest.mark.parametrize(
    ("address", "listen"), [("", ":7070"), ("10.0.0.40", "10.0.0.40:7070"), ("fd00::1", "[fd00::1]:7070")]
)
def test_the_server_listens_where_it_should_with_tls_and_versions(address: str, listen: str) -> None:
    variables = environment(store(object_store_listen_address=address))
    assert variables["VGW_PORT"] == listen
    assert variables["VGW_CERT"] and variables["VGW_KEY"] and variables["VGW_VERSIONING_DIR"]
    assert variables["ROOT_SECRET_ACCESS_KEY"] == "r" * 20


def test_the_unit_has_no_secret_and_no_right_beyond_its_directory() -> None:
    unit = store().template("object-store.service.j2")
    assert not re.search(r"w{20}|k{20}|r{20}", unit)
    assert "User=object-store" in unit and "ProtectSystem=strict" in unit
    assert re.findall(r"^ReadWritePaths=(.*)$", unit, re.MULTILINE) == ["/var/lib/object-store"]


def test_secret_files_are_secret() -> None:
    (task,) = (
        entry["caravan.cluster.files"]
        for entry in yaml.safe_load((ROLES / "object_store" / "tasks" / "configure.yml").read_text())
        if "caravan.cluster.files" in entry
    )
    secrets = {file["dest"].rpartition("/")[2]: file for file in task["files"] if file.get("secret")}
    assert set(secrets) == {"environment", "users.json", "server.key"}
    assert all(file["mode"] in ("0600", "0640") for file in secrets.values())


def test_the_port_table_has_the_port() -> None:
    table = yaml.safe_load((ROLES / "node" / "vars" / "main" / "ports.yml").read_text())["__node_ports"]
    defaults = yaml.safe_load((ROLES / "object_store" / "defaults" / "main.yml").read_text())
    (entry,) = (entry for entry in table if entry["groups"] == ["object_store"])
    assert entry["port"] == defaults["object_store_port"]


def test_the_mirror_is_filled_with_the_server_only_where_it_is_wanted() -> None:
    def wanted(groups: dict[str, list[str]]) -> list[str]:
        host = Host("mirror", "mirror1", {"mirror1": "10.0.0.10"}, {"mirror": ["mirror1"], **groups})
        components = host.value("mirror_components")
        return next(entry["versions"] for entry in components if entry["name"] == "versitygw")

    assert wanted({}) == [] and wanted({"object_store": []}) == []
    assert wanted({"object_store": ["store1"]}) == ["1.8.0"]
