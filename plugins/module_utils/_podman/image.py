# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node image: what goes into it, and the tag that follows from that. Nothing here runs a command."""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import tarfile
from pathlib import Path

# Raised when the recipe below changes in a way that the other inputs of the hash do not show.
RECIPE = 2

# Nobody reads manuals on a node container; the image is a third smaller without them.
LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*")

# Every machine gets its own: from the controller (SSH) or at its first boot (machine-id).
PER_MACHINE = ("etc/ssh/ssh_host_*", "etc/hostname", "etc/hosts", "var/lib/dbus/machine-id")


def overlay(root: str) -> bytes:
    """A tar archive of the files below `root`, owned by root, with fixed times: the same files, the same bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        base = Path(root)
        for path in sorted(p for p in base.rglob("*") if p.is_file()):
            data = path.read_bytes()
            entry = tarfile.TarInfo(str(path.relative_to(base)))
            entry.size = len(data)
            entry.mode = 0o755 if data.startswith(b"#!") else 0o644
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def definition(spec: dict, files: bytes) -> dict:
    """All that decides what the image holds. spec: suite, mirror, packages, enabled, disabled, masked units."""
    return {
        "recipe": RECIPE,
        "left_out": LEFT_OUT,
        "suite": spec["suite"],
        "mirror": spec["mirror"],
        "packages": sorted(spec["packages"]),
        "enabled": sorted(spec["enabled"]),
        "disabled": sorted(spec["disabled"]),
        "masked": sorted(spec["masked"]),
        "files": hashlib.sha256(files).hexdigest(),
    }


def tag(defined: dict) -> str:
    """The image's tag: the first twelve hexadecimal digits of the hash of its definition."""
    return hashlib.sha256(json.dumps(defined, sort_keys=True).encode()).hexdigest()[:12]


def build_command(defined: dict, overlay_path: str) -> list[str]:
    """mmdebstrap's arguments. It writes the image's root file system to stdout as a tar archive."""
    in_chroot = 'chroot "$1" systemctl --quiet'
    hooks = [f"tar-in {shlex.quote(overlay_path)} /"]
    for verb, units in (("enable", "enabled"), ("disable", "disabled"), ("mask", "masked")):
        if defined[units]:
            hooks.append(f"{in_chroot} {verb} {' '.join(defined[units])}")
    hooks.append(" && ".join(f'rm -f "$1"/{pattern}' for pattern in PER_MACHINE) + ' && : > "$1"/etc/machine-id')
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        "--components=main",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        f"--include={','.join(defined['packages'])}",
        *(f"--customize-hook={hook}" for hook in hooks),
        defined["suite"],
        "-",
        *([defined["mirror"]] if defined["mirror"] else []),
    ]
