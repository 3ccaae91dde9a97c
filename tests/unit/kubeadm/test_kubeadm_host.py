# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of a host, and what is done to it, in a directory that stands for the host."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._kubeadm import observe, planner, steps, systemd
from ansible_collections.caravan.cluster.plugins.module_utils._kubeadm.errors import KubeadmError

KUBELET_CONF = (
    "clusters:\n- cluster:\n    server: https://10.0.0.11:6443\nusers:\n- user:\n    client-certificate: {}\n"
)
RECORD = {"name": "demo"}


class Machine:
    """Files below a directory, and a double of AnsibleModule.run_command."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.commands: list[list[str]] = []
        self.active = False
        self.fail = ""
        self.seen_configs: list[dict[str, Any]] = []

    def run(self, argv: list[str], **_more: Any) -> tuple[int, str, str]:
        self.commands.append(argv)
        if argv[:2] == ["systemctl", "show"]:
            state = "active" if self.active else "inactive"
            return 0, f"ActiveState={state}\nUnitFileState=enabled\nMainPID={os.getpid() if self.active else 0}\n", ""
        if argv[0] == "journalctl":
            return 0, "I1121 fine\nE1121 08:00:00 cgroup is missing\n", ""
        if "--config" in argv:
            path = Path(argv[argv.index("--config") + 1])
            if path.name.startswith("caravan-kubeadm-"):
                assert path.stat().st_mode & 0o777 == 0o600
                self.seen_configs.append(json.loads(path.read_text()))
        if self.fail and self.fail in argv:
            return 1, "[preflight] token abcdef.0123456789abcdef", "error: no"
        return 0, "", ""

    def ran(self) -> list[str]:
        return [" ".join(argv[:2]).replace("/usr/local/bin/", "") for argv in self.commands if "show" not in argv]

    def join(self) -> None:
        """Put there what a finished join leaves."""
        certificate = self.root / "kubelet-client.pem"
        certificate.write_text("x")
        (self.root / "kubernetes" / "kubelet.conf").write_text(KUBELET_CONF.format(certificate))
        self.active = True


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    for folder in ("kubernetes/manifests", "kubernetes/pki", "caravan", "run"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr(observe, "KUBERNETES", str(tmp_path / "kubernetes"))
    monkeypatch.setattr(observe, "STATE", str(tmp_path / "caravan"))
    monkeypatch.setattr(observe, "KUBELET", str(tmp_path / "kubelet"))
    monkeypatch.setattr(steps, "RUN", str(tmp_path / "run"))
    return Machine(tmp_path)


def parameters(machine: Machine, **changes: Any) -> dict[str, Any]:
    config = machine.root / "kubeadm.yml"
    config.write_text("kind: ClusterConfiguration\n")
    return {
        "control_plane": False,
        "config": str(config),
        "config_files": [str(config)],
        "cert_sans": ["api.demo.example"],
        "cluster": RECORD,
        "endpoint": "api.demo.example",
        "token": "abcdef.0123456789abcdef",
        "ca_pem": "PEM",
        "node_name": "worker1",
        "node_address": "10.0.0.21",
        "port": 6443,
        "labels": {},
        "taints": [],
        "cri_socket": "unix:///run/containerd/containerd.sock",
        "patches": None,
        "timeouts": {},
        "ignore_preflight_errors": [],
        "api_timeout": 1,
        **changes,
    }


def test_an_empty_machine_is_neither_complete_nor_partial(machine: Machine) -> None:
    state = observe.local(machine.run, True, [])
    assert (state["complete"], state["partial"], state["kubelet_conf"]) == (False, False, "missing")
    assert planner.plan_join(state, True)[0] == "kubeadm_join"


def test_a_join_leaves_a_mark_and_no_secret(machine: Machine) -> None:
    doing = steps.Steps(machine.run, parameters(machine))
    doing.kubeadm_join()
    assert json.loads(observe.started_path().read_text()) == {"action": "join"}
    (machine.root / "kubernetes" / "bootstrap-kubelet.conf").write_text("token")
    machine.join()
    doing.mark()
    state = observe.local(machine.run, False, [])
    assert state["complete"]
    assert state["marker"] == RECORD
    assert list((machine.root / "run").iterdir()) == []
    assert not (machine.root / "kubernetes" / "bootstrap-kubelet.conf").exists()
    assert machine.ran() == ["systemctl daemon-reload", "systemctl enable", "kubeadm join"]
    join = machine.seen_configs[0]
    assert join["discovery"]["tlsBootstrapToken"] == "abcdef.0123456789abcdef"
    assert not any("abcdef.0123456789abcdef" in word for argv in machine.commands for word in argv)


def test_a_failed_join_removes_its_files_and_hides_the_token_and_says_what_the_kubelet_says(machine: Machine) -> None:
    machine.fail = "join"
    with pytest.raises(KubeadmError) as error:
        steps.Steps(machine.run, parameters(machine)).kubeadm_join()
    assert "abcdef.0123456789abcdef" not in str(error.value)
    assert "cgroup is missing" in str(error.value)
    assert list((machine.root / "run").iterdir()) == []
    state = observe.local(machine.run, False, [])
    assert state["started"] == "join"
    assert planner.plan_join(state, False)[0] == "reset"


def test_what_a_killed_run_left_on_tmpfs_is_removed_by_the_next(machine: Machine) -> None:
    (machine.root / "run" / "caravan-kubeadm-abc").write_text("token")
    with steps.locked(1):
        assert [path.name for path in (machine.root / "run").iterdir()] == ["caravan-kubeadm.lock"]


def test_a_second_run_waits_for_the_first_one_and_then_gives_up(machine: Machine) -> None:
    with steps.locked(1), pytest.raises(KubeadmError, match="Another run"), steps.locked(0):
        pass


def test_a_mark_without_credentials_is_not_complete(machine: Machine) -> None:
    observe.marker_path().write_text(json.dumps(RECORD))
    assert not observe.local(machine.run, False, [])["complete"]
    machine.join()
    assert observe.local(machine.run, False, [])["complete"]
    (machine.root / "kubelet-client.pem").unlink()
    assert observe.local(machine.run, False, [])["kubelet_conf"] == "invalid"


def test_a_mark_that_is_cut_off_does_not_count(machine: Machine) -> None:
    machine.join()
    observe.marker_path().write_text('{"name": "de')
    assert not observe.local(machine.run, False, [])["complete"]


def test_clearing_takes_leaves_and_leaves_the_identity(machine: Machine) -> None:
    kubernetes = machine.root / "kubernetes"
    kept = ["pki/ca.crt", "pki/ca.key", "pki/sa.key", "pki/front-proxy-ca.key", "pki/apiserver-etcd-client.key"]
    for name in (*steps.LEAF_FILES, *kept, "encryption.yml"):
        (kubernetes / name).write_text("x")
    steps.Steps(machine.run, parameters(machine)).clear_leaves()
    left = {str(path.relative_to(kubernetes)) for path in kubernetes.rglob("*") if path.is_file()}
    assert left == {*kept, "encryption.yml"}


def test_drift_is_seen_after_a_change_and_gone_after_it_is_recorded(machine: Machine) -> None:
    chosen = parameters(machine, control_plane=True)
    machine.join()
    for name in planner.CONTROL_PLANE_MANIFESTS:
        (machine.root / "kubernetes" / "manifests" / f"{name}.yaml").write_text(name)
    doing = steps.Steps(machine.run, chosen)
    (machine.root / "kubernetes" / "super-admin.conf").write_text("x")
    doing.mark()
    assert not (machine.root / "kubernetes" / "super-admin.conf").exists()
    assert not observe.local(machine.run, True, chosen["config_files"])["control_plane_drift"]
    Path(chosen["config"]).write_text("kind: ClusterConfiguration\nx: 1\n")
    assert observe.local(machine.run, True, chosen["config_files"])["control_plane_drift"]
    doing.record_applied()
    (machine.root / "kubernetes" / "manifests" / "kube-scheduler.yaml").write_text("by hand")
    assert observe.local(machine.run, True, chosen["config_files"])["control_plane_drift"]


def test_a_wait_says_what_it_saw_last(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    healthy, seen = observe.wait_ready(
        "10.0.0.11", 6443, 3, lambda: float(next(clock)), lambda _s: None, lambda *_a: (False, "connection refused")
    )
    assert (healthy, seen) == (False, "connection refused")


def test_only_a_complete_host_waits_for_its_api_server(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    def wait(_address: str, _port: int, timeout: float) -> tuple[bool, str]:
        waited.append(timeout)
        return False, "refused"

    monkeypatch.setattr(observe, "wait_ready", wait)
    monkeypatch.setattr(observe.etcd, "registry_keys", lambda *_a: 7)
    chosen = {
        **parameters(machine, control_plane=True, api_timeout=60),
        "objects": [],
        "etcd": {"endpoints": [], "ca": "", "cert": "", "key": ""},
        "credentials": {str(machine.root / "none.conf"): 10},
    }
    state = observe.observe(machine.run, chosen)
    assert (waited, state["etcd_keys"]) == ([], 7)
    assert state["credentials"] == {str(machine.root / "none.conf"): "there is none"}
    machine.join()
    observe.marker_path().write_text(json.dumps(RECORD))
    state = observe.observe(machine.run, chosen)
    assert (waited, state["etcd_keys"]) == ([60.0], None)


def test_a_unit_is_stale_when_its_configuration_is_newer_than_its_process(machine: Machine, tmp_path: Path) -> None:
    machine.active = True
    config = tmp_path / "config"
    config.write_text("x")
    os.utime(config, (0, 0))
    assert not systemd.unit(machine.run, "kubelet.service", [str(config)])["stale"]
    later = (systemd.start_time(os.getpid()) or 0) + 60
    os.utime(config, (later, later))
    assert systemd.unit(machine.run, "kubelet.service", [str(config), str(tmp_path / "none")])["stale"]
    machine.active = False
    assert not systemd.unit(machine.run, "kubelet.service", [str(config)])["stale"]


def test_a_written_file_replaces_the_old_one_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    steps.write_file(path, "one")
    steps.write_file(path, "two", 0o644)
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]
