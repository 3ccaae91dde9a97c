#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: podman_node_image
short_description: Build the image of node containers
version_added: 0.1.0
description:
  - Builds a Debian system with systemd and an SSH server as a podman image, by C(mmdebstrap), on the host it runs on.
  - The image's tag follows from its definition, so it is built once, and built again when its definition changes.
  - Host keys, host name and machine-id are not in it. M(caravan.cluster.podman_nodes) gives each machine its own.
author:
  - Caravan contributors (@caravan-cluster)
options:
  name:
    description: The image's name, without a tag.
    type: str
    default: localhost/caravan-node
  suite:
    description: The Debian release.
    type: str
    default: bookworm
  mirror:
    description: The Debian archive to install from. Empty stands for Debian's own.
    type: str
    default: ""
  packages:
    description: Packages to install, beside the essential ones.
    type: list
    elements: str
    required: true
  files:
    description:
      - A directory that is copied over the image's root, all of it owned by root.
      - Files that begin with C(#!) get mode 0755, the others 0644.
    type: path
    required: true
  enabled:
    description: systemd units that start at boot.
    type: list
    elements: str
    default: []
  disabled:
    description: systemd units that do not start until someone enables them.
    type: list
    elements: str
    default: []
  masked:
    description: systemd units that never start.
    type: list
    elements: str
    default: []
  containers_conf:
    description: podman's configuration file. The machine's own files are not read.
    type: path
    required: true
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: Build the node image
  caravan.cluster.podman_node_image:
    packages: [systemd-sysv, openssh-server, python3]
    files: "{{ role_path }}/files/image"
    enabled: [ssh.service]
    containers_conf: "{{ role_path }}/files/containers.conf"
  register: __image
"""

RETURN = r"""
image:
  description: The image's full name.
  returned: always
  type: str
  sample: localhost/caravan-node:3f2a9c01d4be
elapsed_seconds:
  description: How long it took, most of it the installation of packages.
  returned: always
  type: float
  sample: 71.4
"""

import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._podman import image as node_image
from ..module_utils._podman.client import Podman, PodmanError


def build(podman: Podman, name: str, defined: dict, files: bytes) -> None:
    """Pipe mmdebstrap's archive into `podman import`; nothing is left on disk but the image."""
    with tempfile.TemporaryDirectory(prefix="caravan-image-") as directory:
        overlay = Path(directory) / "overlay.tar"
        overlay.write_bytes(files)
        said = Path(directory) / "mmdebstrap.log"
        with said.open("wb") as log:
            try:
                producer = subprocess.Popen(
                    node_image.build_command(defined, str(overlay)),
                    stdout=subprocess.PIPE,
                    stderr=log,
                    # mmdebstrap works below TMPDIR; the directory must be open to apt's own user.
                    env={**os.environ, "TMPDIR": "/var/tmp"},
                )
            except FileNotFoundError as error:
                raise PodmanError("mmdebstrap is not installed: run scripts/setup") from error
            imported = subprocess.run(
                [
                    "podman",
                    "import",
                    "--quiet",
                    '--change=CMD ["/usr/local/sbin/node-init"]',
                    "--change=LABEL caravan.image=node",
                    "-",
                    name,
                ],
                stdin=producer.stdout,
                capture_output=True,
                env=podman.environment,
                check=False,
            )
            if producer.stdout is not None:
                producer.stdout.close()
            failed = producer.wait() != 0
        if failed:
            # What was imported is half an image.
            podman.ok("image", "rm", "--force", name)
            tail = said.read_text(errors="replace").strip().splitlines()[-15:]
            raise PodmanError("mmdebstrap failed:\n" + "\n".join(tail))
        if imported.returncode != 0:
            raise PodmanError("podman import failed: " + imported.stderr.decode(errors="replace").strip())


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other run on this machine builds an image."""
    with Path("/run/lock/caravan-node-image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "localhost/caravan-node"},
            "suite": {"type": "str", "default": "bookworm"},
            "mirror": {"type": "str", "default": ""},
            "packages": {"type": "list", "elements": "str", "required": True},
            "files": {"type": "path", "required": True},
            "enabled": {"type": "list", "elements": "str", "default": []},
            "disabled": {"type": "list", "elements": "str", "default": []},
            "masked": {"type": "list", "elements": "str", "default": []},
            "containers_conf": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    started = time.monotonic()
    podman = Podman(module.params["containers_conf"])
    files = node_image.overlay(module.params["files"])
    defined = node_image.definition(module.params, files)
    name = f"{module.params['name']}:{node_image.tag(defined)}"
    try:
        missing = not podman.ok("image", "exists", name)
        if missing and not module.check_mode:
            with alone():
                # Another run may have built it in the meantime.
                missing = not podman.ok("image", "exists", name)
                if missing:
                    build(podman, name, defined, files)
    except PodmanError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=missing,
        image=name,
        elapsed_seconds=round(time.monotonic() - started, 2),
        diff={"before": "", "after": f"image {name}\n"} if missing else {"before": "", "after": ""},
    )


if __name__ == "__main__":
    main()
