#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: artifacts
short_description: Install verified binaries from upstream or a mirror
version_added: 0.1.0
description:
  - Installs programs that the catalogue of the role C(artifacts) lists. Where they come from is a matter of that role's
    variables, such as C(artifacts_source).
  - A file whose sha256 is not the recorded one is refused, and nothing of it is installed.
  - Programs are replaced atomically, get mode 0755 and belong to root. A program that was changed on the host is
    installed anew.
author:
  - Caravan contributors (@caravan-cluster)
options:
  install:
    description: What to install.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The artifact's name in the catalogue.
        type: str
        required: true
      version:
        description: Its version, without a leading V(v).
        type: str
        required: true
      dest:
        description: Where to install an artifact that is a single program.
        type: path
      members:
        description:
          - Which programs of an archive to install where, by their name without a directory.
          - V(*) stands for all of them; its place is a directory that ends in V(/).
        type: dict
  state_dir:
    description: Directory on the host with the receipts of what was installed.
    type: path
    default: /var/lib/caravan
  resolved:
    description: Set by the action. Not for use in playbooks.
    type: dict
  ca:
    description: Set by the action. Not for use in playbooks.
    type: str
  direct:
    description: Set by the action. Not for use in playbooks.
    type: bool
    default: false
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: Install etcd and what CNI needs
  caravan.cluster.artifacts:
    install:
      - {name: etcd, version: 3.6.8, members: {etcd: /usr/local/bin/etcd, etcdctl: /usr/local/bin/etcdctl}}
      - {name: kubelet, version: 1.36.3, dest: /usr/local/bin/kubelet}
      - {name: cni-plugins, version: 1.9.1, members: {"*": /opt/cni/bin/}}
"""

RETURN = r"""
installed:
  description: What was installed (in check mode, what would be).
  returned: success
  type: list
  elements: dict
  sample: [{name: kubelet, version: 1.36.3, dest: /usr/local/bin/kubelet}]
changed_paths:
  description: The places of what was installed (in check mode, of what would be).
  returned: success
  type: list
  elements: str
  sample: [/usr/local/bin/kubelet]
elapsed_seconds:
  description: How long fetching and installing took.
  returned: success
  type: float
  sample: 1.4
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import ssl
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._artifacts import archive, receipts
from ..module_utils._artifacts.catalogue import architecture
from ..module_utils._artifacts.errors import ArtifactError

PARALLEL = 3
TIMEOUT_SECONDS = 60


class Host:
    """The host's programs and the receipts of what was installed."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._seen: dict[str, receipts.Seen] = {}
        try:
            self.receipts: dict[str, Any] = json.loads((state / "artifacts.json").read_text())
        except (OSError, ValueError):
            # Without receipts everything is installed anew, which is always right.
            self.receipts = {}

    def look(self, path: str) -> receipts.Seen:
        if path not in self._seen:
            try:
                status = os.lstat(path)
                regular = not Path(path).is_symlink() and Path(path).is_file()
                sha256 = archive.sha256_of(Path(path)) if regular else ""
                self._seen[path] = (sha256, status.st_mode & 0o7777, status.st_uid, status.st_gid)
            except OSError:
                self._seen[path] = None
        return self._seen[path]

    def look_at_all(self, targets: list[dict[str, Any]]) -> None:
        """Hash what is there in parallel: hashing leaves the interpreter's lock."""
        paths = {target["dest"] for target in targets if target["member"] is None}
        for target in targets:
            paths.update((self.receipts.get(target["dest"]) or {}).get("files") or {})
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(self.look, sorted(paths)))

    def record(self, target: dict[str, Any], files: dict[str, str]) -> None:
        self.receipts[target["dest"]] = {
            **{key: target[key] for key in ("name", "version", "sha256", "member")},
            "files": files,
        }
        part = self.state / ".artifacts.json"
        part.write_text(json.dumps(self.receipts, indent=1, sort_keys=True) + "\n")
        part.chmod(0o644)
        part.replace(self.state / "artifacts.json")


class Fetcher:
    def __init__(self, ca: str, direct: bool) -> None:
        context = ssl.create_default_context(cadata=ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A mirror is on the own network: it is never reached through a proxy meant for the world outside.
        proxies = [urllib.request.ProxyHandler({})] if direct else []
        self.opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), *proxies)

    def fetch(self, target: dict[str, Any], path: Path) -> None:
        """Fetch an artifact to `path`, and refuse it if it is not the recorded one."""
        what = f"{target['name']} {target['version']}"
        seen = hashlib.sha256()
        try:
            with self.opener.open(target["url"], timeout=TIMEOUT_SECONDS) as answer, path.open("wb") as output:
                for data in iter(lambda: answer.read(archive.CHUNK), b""):
                    seen.update(data)
                    output.write(data)
        except OSError as error:
            raise ArtifactError(f"{what} cannot be fetched from {target['url']}: {error}") from error
        if seen.hexdigest() != target["sha256"]:
            path.unlink()
            raise ArtifactError(
                f"{what} from {target['url']} is refused: its sha256 is {seen.hexdigest()}, wanted {target['sha256']}"
            )


class Installer:
    def __init__(self, module: AnsibleModule, host: Host) -> None:
        self.module = module
        self.host = host

    def install(self, targets: list[dict[str, Any]], path: Path) -> None:
        """Install all targets that come from one fetched artifact."""
        if targets[0]["member"] is None:
            for target in targets:
                self._place_whole(path, target["dest"])
                self.host.record(target, {target["dest"]: target["sha256"]})
            return
        files: dict[str, dict[str, str]] = {target["dest"]: {} for target in targets}
        for name, content in archive.read(path):
            for target in targets:
                program = target["programs"].get(name)
                if program:
                    dest = target["dest"] + program if target["member"] == "*" else target["dest"]
                    content.seek(0)
                    files[target["dest"]][dest] = self._place(content, dest)
        for target in targets:
            lacking = len(target["programs"]) - len(files[target["dest"]])
            if lacking:
                raise ArtifactError(f"{target['name']} {target['version']} lacks {lacking} of its programs")
            self.host.record(target, files[target["dest"]])

    def _place_whole(self, path: Path, dest: str) -> None:
        """A fetched file that is the program itself: linked into place where both are on one file system."""
        directory = Path(dest).parent
        directory.mkdir(parents=True, mode=0o755, exist_ok=True)
        part = directory / f".{Path(dest).name}.part"
        part.unlink() if part.exists() else None
        try:
            os.link(str(path), str(part))
        except OSError:
            with path.open("rb") as stream:
                self._place(stream, dest)
            return
        os.chown(part, 0, 0)
        part.chmod(receipts.MODE)
        part.replace(dest)
        self.module.set_default_selinux_context(dest, False)

    def _place(self, stream: Any, dest: str) -> str:
        directory = Path(dest).parent
        if not directory.is_dir():
            directory.mkdir(parents=True, mode=0o755)
        seen = hashlib.sha256()
        handle, name = tempfile.mkstemp(prefix=f".{Path(dest).name}.", dir=str(directory))
        try:
            with os.fdopen(handle, "wb") as output:
                for data in iter(lambda: stream.read(archive.CHUNK), b""):
                    seen.update(data)
                    output.write(data)
            os.chown(name, 0, 0)
            os.chmod(name, receipts.MODE)  # noqa: PTH101
            os.replace(name, dest)  # noqa: PTH105
        except BaseException:
            os.unlink(name)  # noqa: PTH108
            raise
        self.module.set_default_selinux_context(dest, False)
        return seen.hexdigest()


def contained(members: Any) -> dict[str, str] | None:
    return {archive.normal(path): program for path, program in members.items()} if members else None


def wanted_targets(module: AnsibleModule) -> list[dict[str, Any]]:
    resolved = (module.params["resolved"] or {}).get(architecture(platform.machine()))
    if resolved is None:
        raise ArtifactError("this module only works through its action: call it as caravan.cluster.artifacts")
    if isinstance(resolved, str):
        raise ArtifactError(resolved)
    targets: list[dict[str, Any]] = []
    for item in resolved:
        targets += receipts.targets({**item, "contained": contained(item["members"]), "members": item["wanted"]})
    return targets


def install_all(module: AnsibleModule, host: Host, todo: list[dict[str, Any]]) -> None:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for target in todo:
        grouped.setdefault(target["url"], []).append(target)
    fetcher, installer = Fetcher(module.params["ca"], module.params["direct"]), Installer(module, host)
    host.state.mkdir(parents=True, exist_ok=True)
    for left_over in host.state.glob(".fetch-*"):
        shutil.rmtree(str(left_over), ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(prefix=".fetch-", dir=str(host.state)) as work,
        ThreadPoolExecutor(PARALLEL) as pool,
    ):
        jobs = []
        for number, targets in enumerate(grouped.values()):
            path = Path(work) / str(number)
            jobs.append((targets, path, pool.submit(fetcher.fetch, targets[0], path)))
        for targets, path, job in jobs:
            job.result()
            installer.install(targets, path)
            path.unlink()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "install": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "version": {"type": "str", "required": True},
                    "dest": {"type": "path"},
                    "members": {"type": "dict"},
                },
            },
            "state_dir": {"type": "path", "default": "/var/lib/caravan"},
            "resolved": {"type": "dict"},
            "ca": {"type": "str"},
            "direct": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    started = time.monotonic()
    lock, state = None, Path(module.params["state_dir"])
    try:
        targets = wanted_targets(module)
        if not module.check_mode:
            state.mkdir(parents=True, exist_ok=True)
            lock = (state / ".artifacts.lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
        host = Host(state)
        host.look_at_all(targets)
        todo = receipts.plan(targets, host.receipts, host.look)
        lines = [receipts.describe(target, host.receipts.get(target["dest"]), host.look) for target in todo]
        if todo and not module.check_mode:
            install_all(module, host, todo)
    except (ArtifactError, OSError) as error:
        module.fail_json(msg=str(error))
    finally:
        if lock is not None:
            lock.close()
    module.exit_json(
        changed=bool(todo),
        installed=[{key: target[key] for key in ("name", "version", "dest")} for target in todo],
        changed_paths=[target["dest"] for target in todo],
        elapsed_seconds=round(time.monotonic() - started, 3),
        diff={
            "before": "".join(before + "\n" for before, _after in lines),
            "after": "".join(after + "\n" for _before, after in lines),
        },
    )


if __name__ == "__main__":
    main()
