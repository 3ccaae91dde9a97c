# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rendering import Host

UPSTREAM = {"artifacts_source": "upstream", "artifacts_registry": "", "artifacts_mirror_ca": ""}


@pytest.fixture
def mirrored(tmp_path: Path) -> Host:
    ca = tmp_path / "ca.crt"
    ca.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    settings = {
        "artifacts_source": "mirror",
        "artifacts_registry": "mirror.example:5000",
        "artifacts_mirror_ca": str(ca),
    }
    return Host("container_runtime", "worker1", **settings)


def test_with_a_mirror_every_registry_leads_there_and_nowhere_else(mirrored: Host) -> None:
    files = {file["dest"]: file["content"] for file in mirrored.value("__container_runtime_mirror.files")}
    for upstream in ("docker.io", "ghcr.io", "quay.io", "registry.k8s.io"):
        text = files[f"/etc/containerd/certs.d/{upstream}/hosts.toml"]
        assert f'server = "https://mirror.example:5000/v2/{upstream}"\n' in text
        assert "override_path = true\n" in text
        assert "[host" not in text
        assert "skip_verify" not in text
    assert 'server = "https://mirror.example:5000/v2"\n' in files["/etc/containerd/certs.d/_default/hosts.toml"]


def test_the_mirrors_certificate_arrives_unchanged(mirrored: Host) -> None:
    files = {file["dest"]: file["content"] for file in mirrored.value("__container_runtime_mirror.files")}
    assert files["/etc/containerd/mirror-ca.crt"].endswith("-----END CERTIFICATE-----\n")
    assert "\\n" not in files["/etc/containerd/mirror-ca.crt"]


def test_from_upstream_nothing_is_redirected_and_what_a_mirror_left_is_removed() -> None:
    host = Host("container_runtime", "worker1", **UPSTREAM)
    assert host.value("__container_runtime_mirror") == {}
    assert "/etc/containerd/certs.d/_default/hosts.toml" in host.value("__container_runtime_mirror_leftovers")


@pytest.mark.parametrize(("driver", "systemd"), [("systemd", "true"), ("cgroupfs", "false")])
def test_the_cgroup_driver(driver: str, systemd: str) -> None:
    text = Host("container_runtime", "worker1", cluster_cgroup_driver=driver, **UPSTREAM).template("config.toml.j2")
    assert f"SystemdCgroup = {systemd}\n" in text


@pytest.mark.parametrize(("version", "wanted"), [("2.4.2", "4"), ("2.3.0", "4"), ("2.2.9", "3")])
def test_the_configuration_is_of_a_version_that_this_containerd_reads(version: str, wanted: str) -> None:
    text = Host("container_runtime", "worker1", container_runtime_containerd_version=version, **UPSTREAM).template(
        "config.toml.j2"
    )
    assert re.search(rf"^version = {wanted}$", text, re.MULTILINE)


def test_where_oom_scores_cannot_be_lowered_nothing_tries() -> None:
    limited = Host("container_runtime", "worker1", container_runtime_restrict_oom_score_adj=True, **UPSTREAM)
    usual = Host("container_runtime", "worker1", **UPSTREAM)
    assert "OOMScoreAdjust" not in limited.template("containerd.service.j2")
    assert "restrict_oom_score_adj = true\n" in limited.template("config.toml.j2")
    assert "OOMScoreAdjust=-999" in usual.template("containerd.service.j2")


def test_a_containerd_restart_is_for_what_containerd_reads_at_its_start_only() -> None:
    files = Host("container_runtime", "worker1", **UPSTREAM).value("__container_runtime_unit.files")
    assert not [path for path in files if "certs.d" in path or "/opt/cni" in path or "runc" in path]
