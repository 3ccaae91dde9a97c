# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which certificates of a node have to be renewed, and what their owner does then."""

from __future__ import annotations

import base64
import datetime
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._kubeadm import certificates, systemd, users
from certificates import BEGIN, Authority

YEAR = datetime.timedelta(days=100)
END = BEGIN + YEAR


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.mark.parametrize(
    ("gone", "reason"),
    [(0.1, ""), (0.69, ""), (0.71, "29% of its life is left"), (0.99, "1% of its life is left"), (1.0, "expired")],
)
def test_when_it_is_time(gone: float, reason: str) -> None:
    assert certificates.reason_to_renew(BEGIN, END, BEGIN + gone * YEAR) == reason


def test_the_life_of_a_certificate(authority: Authority) -> None:
    assert users.validity(authority.issue("someone", END)[0]) == (BEGIN, END)


def kubeconfig(certificate: str, key: str) -> str:
    encoded = [base64.b64encode(text.encode()).decode() for text in (certificate, key)]
    return (
        "clusters:\n- cluster:\n    server: https://api:6443\nusers:\n- user:\n"
        f"    client-certificate-data: {encoded[0]}\n    client-key-data: {encoded[1]}\n"
    )


def test_a_certificate_is_found_in_each_kind_of_file(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("someone", END)
    for number, content in enumerate((certificate, key + certificate, kubeconfig(certificate, key))):
        path = tmp_path / str(number)
        path.write_text(content)
        assert certificates.described(str(path), BEGIN + 0.8 * YEAR) == {
            "begins": "2026-01-01T00:00:00Z",
            "ends": "2026-04-11T00:00:00Z",
            "reason": "20% of its life is left",
        }


@pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\nMII", "client-certificate-data: nonsense\n"])
def test_a_damaged_file_is_a_reason(content: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    path.write_text(content)
    seen = certificates.described(str(path), BEGIN)
    assert seen["ends"] == ""
    assert seen["reason"].startswith("it cannot be read")


def test_the_administrators_comes_first_and_kubelets_are_not_kubeadms() -> None:
    due = {"reason": "expired"}
    seen = {"scheduler.conf": due, "apiserver": due, "admin.conf": due, "kubelet-client": due, "front-proxy-client": {}}
    assert [kind.name for kind in certificates.to_renew(seen)] == ["admin.conf", "apiserver", "scheduler.conf"]


def test_a_kubelet_is_only_helped_when_it_is_too_late(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "client.pem"
    monkeypatch.setattr(certificates, "KUBELET_CLIENT", str(path))
    monkeypatch.setattr(certificates, "KUBELET_SERVER", str(tmp_path / "none"))
    now = datetime.datetime.now(datetime.timezone.utc)
    reasons = []
    for end in (now - datetime.timedelta(hours=1), now + datetime.timedelta(hours=1)):
        path.write_text(authority.issue("system:node:a", end)[0])
        reasons.append(certificates.on_host(control_plane=False, everything=True)["kubelet-client"]["reason"])
    assert reasons == ["expired", ""]


def test_a_fingerprint_is_of_the_first_certificate(authority: Authority) -> None:
    one, _key = authority.issue("one", END)
    two, _key = authority.issue("two", END)
    assert certificates.fingerprint(one + two) == certificates.fingerprint(one)
    assert certificates.fingerprint(two) != certificates.fingerprint(one)


class Owner(certificates.Renewal):
    """Records commands; everything is healthy at once."""

    def __init__(self) -> None:
        super().__init__(self._run, {"config": "/kubeadm.yml", "api_timeout": 1})
        self.said: list[str] = []

    def _run(self, argv: list[str], **_options: Any) -> tuple[int, str, str]:
        self.said.append(" ".join(argv[1:4]))
        return 0, "", ""

    def await_api_server(self) -> None:
        self.said.append("API server shows it")

    def component_healthy(self, name: str, began: float) -> str | None:
        self.said.append(f"{name} is healthy")
        return None


def test_one_component_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[tuple[int, int]] = []
    monkeypatch.setattr(systemd, "processes", lambda name: [7] if name == "kube-scheduler" else [])
    monkeypatch.setattr(systemd, "unit", lambda *_arguments: {"active": True})
    monkeypatch.setattr(os, "kill", lambda pid, number: ended.append((pid, number)))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    owner = Owner()
    owner.renew([kind for kind in certificates.KUBEADM_MAKES if kind.name in ("apiserver", "scheduler.conf")])
    assert owner.said == [
        "certs renew apiserver",
        "API server shows it",
        "certs renew scheduler.conf",
        "kube-scheduler is healthy",
    ]
    assert ended == [(7, signal.SIGTERM)]


def test_a_kubelet_of_a_control_plane_node_is_given_a_certificate(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = authority.issue("system:node:a", END)
    path = tmp_path / "kubelet-client-2026.pem"
    path.touch()
    link = tmp_path / "current.pem"
    link.symlink_to(path)
    monkeypatch.setattr(certificates, "KUBELET_CLIENT", str(link))
    owner = Owner()
    owner.params["node_name"] = "a"
    monkeypatch.setattr(owner, "command", lambda argv, _what: kubeconfig(certificate, key))
    restarted: list[bool] = []
    monkeypatch.setattr(owner, "restart_kubelet", lambda: restarted.append(True))
    owner.certify_kubelet()
    assert path.read_text() == certificate + key
    assert path.stat().st_mode & 0o777 == 0o600
    assert link.is_symlink()
    assert restarted == [True]
