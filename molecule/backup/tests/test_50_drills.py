# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backups of this cluster can be restored, as the host that holds the key proves by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cluster_tests.cluster import Cluster

pytestmark = pytest.mark.journal("caravan-etcd-drill")

KEEPER = "backup1"
STORES = {"near", "far"}
# The same configuration with another key, and places of its own.
OTHER_KEY = """
import json, pathlib, shutil, subprocess
directory = pathlib.Path("/run/drill-test")
shutil.rmtree(directory, ignore_errors=True)
shutil.copytree("/etc/caravan/backup", directory)
(directory / "identity").unlink()
subprocess.run(["age-keygen", "--output", str(directory / "identity")], check=True, capture_output=True)
file = directory / "keeper.json"
settings = json.loads(file.read_text())
settings.update({name: str(directory / name) for name in ("identity", "work", "state", "metrics")})
settings["identity_file"] = settings.pop("identity")
file.write_text(json.dumps(settings))
done = subprocess.run(["caravan-backup", "drill", "--config", str(file)], capture_output=True, text=True)
print(json.dumps({
    "code": done.returncode,
    "report": json.loads((directory / "state" / "drill.json").read_text()),
    "metrics": (directory / "metrics" / "caravan_etcd_drill.prom").read_text(),
    "left": [str(path) for path in (directory / "work").iterdir()],
}))
shutil.rmtree(directory)
"""


def verdicts(report: dict[str, Any]) -> dict[str, str]:
    return {store["store"]: store["verdict"] for store in report["stores"]}


def test_every_store_passes(cluster: Cluster) -> None:
    assert cluster.playbooks.run("drill").succeeded().changed() == {}
    report = json.loads(cluster.nodes.run(KEEPER, ["cat", "/var/lib/caravan/backup/drill.json"]).stdout)
    assert verdicts(report) == dict.fromkeys(STORES, "passed")
    for store in report["stores"]:
        print(f"{store['store']}: {sum(store['seconds'].values()):.1f} s, {sum(store['counts'].values())} objects")
        states = {check["name"]: check["state"] for check in store["checks"]}
        assert set(states.values()) == {"passed"}, states


def test_the_timers_run_and_secrets_are_roots(cluster: Cluster) -> None:
    host = cluster.nodes.host(KEEPER)
    for unit in ("caravan-etcd-drill.timer", "caravan-etcd-prune.timer"):
        assert host.service(unit).is_running and host.service(unit).is_enabled
    for name in ("identity", "rclone.conf"):
        file = host.file(f"/etc/caravan/backup/{name}")
        assert (file.user, file.mode) == ("root", 0o600)
    metrics = host.file("/var/lib/caravan/metrics/caravan_etcd_drill.prom")
    assert (metrics.mode, metrics.content_string.count("caravan_etcd_drill_success{")) == (0o644, len(STORES))


def test_another_key_is_told_from_a_damaged_backup(cluster: Cluster) -> None:
    seen = cluster.nodes.python(KEEPER, OTHER_KEY, timeout=120)
    assert seen["code"] == 1
    assert verdicts(seen["report"]) == dict.fromkeys(STORES, "failed")
    for store in seen["report"]["stores"]:
        texts = {check["name"]: check["text"] for check in store["checks"] if check["state"] == "failed"}
        assert "encrypted to other recipients" in texts["opens"]
    assert seen["metrics"].count("} 0\n") >= len(STORES)
    assert seen["left"] == []


def test_a_second_run_of_the_playbook_changes_nothing(cluster: Cluster) -> None:
    for arguments in ((), ("--check", "--diff")):
        assert cluster.playbooks.run("backup_host", arguments=arguments).succeeded().changed() == {}
