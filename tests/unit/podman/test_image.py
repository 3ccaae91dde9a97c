# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._podman import image

SPEC = {
    "suite": "bookworm",
    "mirror": "",
    "packages": ["systemd", "openssh-server"],
    "enabled": ["ssh.service"],
    "disabled": ["haproxy.service"],
    "masked": ["systemd-udevd.service"],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "resolv.conf").write_text("options timeout:1\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    return tmp_path


def test_overlay_is_the_same_for_the_same_files(root: Path) -> None:
    first = image.overlay(str(root))
    (root / "run.sh").touch()
    assert image.overlay(str(root)) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        assert [(entry.name, entry.mode) for entry in archive] == [("etc/resolv.conf", 0o644), ("run.sh", 0o755)]


def test_tag_does_not_depend_on_the_order_of_packages() -> None:
    other = {**SPEC, "packages": list(reversed(SPEC["packages"]))}
    assert image.tag(image.definition(SPEC, b"x")) == image.tag(image.definition(other, b"x"))


@pytest.mark.parametrize(
    "changed",
    [{"suite": "trixie"}, {"packages": ["systemd"]}, {"masked": []}, {"mirror": "http://archive.example.org/debian"}],
)
def test_tag_follows_the_definition(changed: dict) -> None:
    assert image.tag(image.definition({**SPEC, **changed}, b"x")) != image.tag(image.definition(SPEC, b"x"))


def test_tag_follows_the_files() -> None:
    assert image.tag(image.definition(SPEC, b"x")) != image.tag(image.definition(SPEC, b"y"))


def test_command_goes_to_stdout_and_to_debian_unless_told_otherwise() -> None:
    command = image.build_command(image.definition(SPEC, b"x"), "/tmp/overlay.tar")
    assert command[-2:] == ["bookworm", "-"]
    assert "--include=openssh-server,systemd" in command
    mirror = "http://archive.example.org/debian"
    assert image.build_command(image.definition({**SPEC, "mirror": mirror}, b"x"), "o.tar")[-1] == mirror


def test_no_identity_is_in_the_image() -> None:
    hooks = [
        part
        for part in image.build_command(image.definition(SPEC, b"x"), "o.tar")
        if part.startswith("--customize-hook")
    ]
    assert "etc/ssh/ssh_host_*" in hooks[-1]
    assert ': > "$1"/etc/machine-id' in hooks[-1]
