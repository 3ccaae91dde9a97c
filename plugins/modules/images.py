#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: images
short_description: Pull container images into containerd by their recorded digest
version_added: 0.1.0
description:
  - Pulls images that the catalogue of the role C(artifacts) lists into containerd's namespace C(k8s.io), by digest,
    and tags them with their upstream reference, so that manifests name images the same way whether they came from
    upstream or a mirror.
  - Which servers are asked is a matter of containerd's registry configuration.
  - containerd refuses content that does not have the wanted digest; the error names the image.
author:
  - Caravan contributors (@caravan-cluster)
options:
  images:
    description: The images.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The image's name in the catalogue.
        type: str
        required: true
      version:
        description: Its version, without a leading V(v).
        type: str
        required: true
  resolved:
    description: Set by the action. Not for use in playbooks.
    type: list
    elements: dict
  hosts_directory:
    description: containerd's registry configuration.
    type: path
    default: /etc/containerd/certs.d
  parallel:
    description: How many images are pulled at the same time.
    type: int
    default: 3
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: Pull the images of this node
  caravan.cluster.images:
    images:
      - {name: kube-proxy, version: 1.36.3}
      - {name: pause, version: 3.10.2}
"""

RETURN = r"""
pulled:
  description: The references that were pulled (in check mode, that would be).
  returned: success
  type: list
  elements: str
  sample: ["registry.k8s.io/pause:3.10.2"]
elapsed_seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 2.1
"""

import contextlib
import subprocess
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._artifacts.errors import ArtifactError
from ..module_utils._artifacts.images import last_words, parse_listing, plan

PULL_SECONDS = 600


class Containerd:
    def __init__(self, ctr: str, hosts_directory: str) -> None:
        self.ctr = ctr
        self.hosts_directory = hosts_directory

    def _run(self, *arguments: str) -> str:
        # `ctr` is containerd's own client; there is no Python one.
        done = subprocess.run(
            [self.ctr, "--namespace", "k8s.io", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PULL_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise ArtifactError(last_words(done.stdout))
        return done.stdout

    def present(self) -> dict[str, str]:
        return parse_listing(self._run("images", "ls"))

    def pull(self, image: dict[str, Any]) -> None:
        by_digest = f"{image['repository']}@{image['digest']}"
        try:
            self._run("images", "pull", "--hosts-dir", self.hosts_directory, by_digest)
            self._run("images", "tag", "--force", by_digest, image["reference"])
        except (ArtifactError, subprocess.TimeoutExpired) as error:
            self._collect_garbage()
            raise ArtifactError(
                f"the image {image['reference']} ({image['digest']}) cannot be pulled: {error}"
            ) from error

    def _collect_garbage(self) -> None:
        """Have what a failed pull left removed now: the next one would go on with it, damaged as it may be."""
        with contextlib.suppress(ArtifactError, subprocess.TimeoutExpired):
            # Whoever gives back a lease may wait for the collection of what nobody needs any more.
            lease = f"caravan-{uuid.uuid4()}"
            self._run("leases", "create", "--id", lease)
            self._run("leases", "delete", "--sync", lease)


def present_images(containerd: Containerd | None, check_mode: bool) -> dict[str, str]:
    """What is there. On a machine that has no containerd yet, check mode takes it as nothing."""
    if containerd is None:
        if check_mode:
            return {}
        raise ArtifactError("ctr is not installed: images need a running containerd")
    try:
        return containerd.present()
    except ArtifactError:
        if check_mode:
            return {}
        raise


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "images": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {"name": {"type": "str", "required": True}, "version": {"type": "str", "required": True}},
            },
            "resolved": {"type": "list", "elements": "dict"},
            "hosts_directory": {"type": "path", "default": "/etc/containerd/certs.d"},
            "parallel": {"type": "int", "default": 3},
        },
        supports_check_mode=True,
    )
    started = time.monotonic()
    if module.params["resolved"] is None:
        module.fail_json(msg="this module only works through its action: call it as caravan.cluster.images")
    wanted: list[dict[str, Any]] = module.params["resolved"]
    path = module.get_bin_path("ctr", opt_dirs=["/usr/local/bin"])
    containerd = Containerd(path, module.params["hosts_directory"]) if path else None
    try:
        present = present_images(containerd, module.check_mode)
        todo = plan(wanted, present)
        if todo and containerd is not None and not module.check_mode:
            with ThreadPoolExecutor(module.params["parallel"]) as pool:
                list(pool.map(containerd.pull, todo))
    except ArtifactError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(todo),
        pulled=[image["reference"] for image in todo],
        elapsed_seconds=round(time.monotonic() - started, 3),
        diff={
            "before": "".join(f"{image['reference']} {present.get(image['reference'], 'absent')}\n" for image in todo),
            "after": "".join(f"{image['reference']} {image['digest']}\n" for image in todo),
        },
    )


if __name__ == "__main__":
    main()
