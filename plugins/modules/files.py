#!/usr/bin/python
# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Write many files, directories and managed blocks in one task
version_added: 0.1.0
description:
  - Brings a set of directories, files and managed blocks to the wanted content, mode and ownership in a single remote
    call. A role's whole configuration is one task, which is what keeps a second run over many hosts quick.
  - Every file is replaced atomically. Its mode and owner are right before it becomes visible under its name.
  - Templates (O(files[].src)) are rendered on the controller from the role's C(templates/) directory, as
    M(ansible.builtin.template) would; V(ansible_managed) is a fixed text, so that rendering twice gives the same file.
author:
  - Caravan contributors (@caravan-cluster)
options:
  directories:
    description: Directories to create, parents included. Done first.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The directory.
        type: path
        required: true
      mode:
        description: Its mode, as a quoted octal number.
        type: str
        required: true
      owner:
        description: Its owner.
        type: str
        default: root
      group:
        description: Its group.
        type: str
        default: root
  files:
    description: Files to write.
    type: list
    elements: dict
    default: []
    suboptions:
      dest:
        description: The file.
        type: path
        required: true
      src:
        description: A template of the role. Either this or O(files[].content).
        type: str
      content:
        description: The content itself. Either this or O(files[].src).
        type: str
      secret_content:
        description:
          - Set by the action for files with O(files[].secret=true), base64-encoded. Not for use in playbooks.
          - Encoded, because Ansible logs a nested argument as Python writes it. With its line ends escaped, a text of
            several lines would not be recognised there as the value to hide, and be in the host's journal.
        type: str
      mode:
        description: Its mode, as a quoted octal number.
        type: str
        required: true
      owner:
        description: Its owner.
        type: str
        default: root
      group:
        description: Its group.
        type: str
        default: root
      secret:
        description: Whether the content must never be shown, neither in a diff nor in the invocation.
        type: bool
        default: false
      validate:
        description:
          - A command that checks the new file before it replaces the old. V(%s) stands for the new file.
          - In check mode it is left out where the program is not installed yet.
        type: str
  absent:
    description: Files that must not exist.
    type: list
    elements: path
    default: []
  blocks:
    description: Blocks between two marker lines in files that belong to someone else.
    type: list
    elements: dict
    default: []
    suboptions:
      dest:
        description: The file that holds the block. Created with mode 0644 where missing.
        type: path
        required: true
      name:
        description: The block's name, which stands in its markers.
        type: str
        required: true
      content:
        description: The lines of the block. Empty removes the block.
        type: str
        required: true
extends_documentation_fragment:
  - caravan.cluster.attributes
"""

EXAMPLES = r"""
- name: Write etcd's configuration
  caravan.cluster.files:
    directories:
      - {path: /etc/etcd, mode: "0750", group: etcd}
    files:
      - {src: etcd.yml.j2, dest: /etc/etcd/etcd.yml, mode: "0640", group: etcd}
      - {content: "{{ __key }}", dest: /etc/etcd/pki/ca.key, mode: "0600", owner: etcd, group: etcd, secret: true}
  notify: etcd restart

- name: Make the endpoint's name known
  caravan.cluster.files:
    blocks:
      - {dest: /etc/hosts, name: caravan endpoint, content: "127.0.0.1 api.example.org"}
"""

RETURN = r"""
changed_paths:
  description: What was written, created, removed or given other attributes (in check mode, what would be).
  returned: always
  type: list
  elements: str
  sample: [/etc/etcd/etcd.yml]
"""

import base64
import grp
import os
import pwd
import shlex
import tempfile
from pathlib import Path
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from ..module_utils._files.text import describe, replace_block


class Writer:
    """Carries out the wanted state and gathers what changed, in check mode without touching anything."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.changed_paths: list[str] = []
        self.diffs: list[dict] = []

    def directory(self, wanted: dict) -> None:
        path = Path(wanted["path"])
        before = self._attributes(path)
        if path.exists() and not path.is_dir():
            self.module.fail_json(msg=f"{path} is wanted as a directory, but it is a file")
        missing = not path.exists()
        if missing and not self.module.check_mode:
            # Parents that no one declared get the usual 0755, the directory itself never has a wider mode than wanted.
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(mode=0o700)
        if self._set_attributes(path, wanted) or missing:
            self._record(path, "" if missing else describe(*before), describe(*_wanted_attributes(wanted)))

    def file(self, wanted: dict) -> None:
        path = Path(wanted["dest"])
        secret = wanted["secret"]
        content = base64.b64decode(wanted["secret_content"] or "").decode() if secret else wanted["content"]
        if content is None:
            self.module.fail_json(msg=f"{path}: neither src nor content is given")
        if path.is_dir():
            self.module.fail_json(msg=f"{path} is wanted as a file, but it is a directory")
        data = content.encode()
        old = path.read_bytes() if path.exists() else None
        before = self._attributes(path)
        changed = old != data
        if changed:
            self._replace(path, data, wanted, wanted["validate"])
        if self._set_attributes(path, wanted) or changed:
            hidden = "(secret)\n" if old == data else "(secret changed)\n"
            self._record(
                path,
                "" if old is None else describe(*before) + ("(secret)\n" if secret else _text(old)),
                describe(*_wanted_attributes(wanted)) + (hidden if secret else content),
            )

    def block(self, wanted: dict) -> None:
        path = Path(wanted["dest"])
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        try:
            new = replace_block(old, wanted["name"], wanted["content"])
        except ValueError as error:
            self.module.fail_json(msg=f"{path}: {error}")
        if new == old:
            return
        attributes: dict[str, str | None] = {"mode": "0644", "owner": "root", "group": "root"}
        if path.exists():
            mode, owner, group = self._attributes(path)
            attributes = {"mode": mode, "owner": owner, "group": group}
        if not self.module.check_mode and os.path.ismount(path):
            # A file that is a mount point (/etc/hosts of a container) cannot be replaced, only written.
            path.write_text(new, encoding="utf-8")
        else:
            self._replace(path, new.encode(), attributes, None)
        self._record(path, old, new)

    def absent(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            self.module.fail_json(msg=f"{path} is wanted absent, but it is a directory")
        if path.exists() or path.is_symlink():
            if not self.module.check_mode:
                path.unlink()
            self._record(path, "(present)\n", "")

    def _replace(self, path: Path, data: bytes, wanted: dict, validate: str | None) -> None:
        if self.module.check_mode:
            self._validate_data(path, data, validate)
            return
        try:
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        except OSError as error:
            self.module.fail_json(
                msg=f"{path} cannot be written: {error.strerror}. Is {path.parent} among directories?"
            )
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            self._validate(path, name, validate)
            self._set_attributes(Path(name), wanted)
            self.module.atomic_move(name, str(path), keep_dest_attrs=False)
        finally:
            if Path(name).exists():
                Path(name).unlink()

    def _validate_data(self, path: Path, data: bytes, command: str | None) -> None:
        """Check mode: validate in a private temporary directory, if the program is there already."""
        if not command or not self.module.get_bin_path(shlex.split(command)[0]):
            return
        name = Path(self.module.tmpdir) / path.name
        name.write_bytes(data)
        self._validate(path, str(name), command)

    def _validate(self, path: Path, name: str, command: str | None) -> None:
        if not command:
            return
        if "%s" not in command:
            self.module.fail_json(msg=f"{path}: validate must contain %s: {command}")
        code, out, err = self.module.run_command([part.replace("%s", name) for part in shlex.split(command)])
        if code != 0:
            self.module.fail_json(
                msg=f"{path}: refused by '{command}' ({code}): {(err or out).strip()}", path=str(path)
            )

    def _set_attributes(self, path: Path, wanted: dict) -> bool:
        if not path.exists():
            return False
        if self.module.check_mode and not (
            _known(pwd.getpwnam, wanted["owner"]) and _known(grp.getgrnam, wanted["group"])
        ):
            # On an empty machine the user is made by an earlier task, which check mode did not carry out.
            return True
        arguments = self.module.load_file_common_arguments({"path": str(path), **_only_attributes(wanted)})
        return self.module.set_fs_attributes_if_different(arguments, False)

    @staticmethod
    def _attributes(path: Path) -> tuple[str | None, str | None, str | None]:
        if not path.exists():
            return None, None, None
        stat = path.stat()
        owner = _known(pwd.getpwuid, stat.st_uid)
        group = _known(grp.getgrgid, stat.st_gid)
        return (
            f"{stat.st_mode & 0o7777:04o}",
            owner.pw_name if owner else str(stat.st_uid),
            group.gr_name if group else str(stat.st_gid),
        )

    def _record(self, path: Path, before: str, after: str) -> None:
        self.changed_paths.append(str(path))
        self.diffs.append({"before_header": str(path), "after_header": str(path), "before": before, "after": after})


def _only_attributes(wanted: dict) -> dict:
    return {key: wanted[key] for key in ("mode", "owner", "group")}


def _wanted_attributes(wanted: dict) -> tuple[str, str, str]:
    return f"{int(wanted['mode'], 8):04o}", wanted["owner"], wanted["group"]


def _known(lookup: Callable[..., Any], key: Any) -> Any:
    try:
        return lookup(key)
    except KeyError:
        return None


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def argument_spec() -> dict:
    owned = {
        "mode": {"type": "str", "required": True},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
    }
    return {
        "directories": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {"path": {"type": "path", "required": True}, **owned},
        },
        "files": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "dest": {"type": "path", "required": True},
                "src": {"type": "str"},
                "content": {"type": "str"},
                "secret_content": {"type": "str", "no_log": True},
                "secret": {"type": "bool", "default": False, "no_log": False},
                "validate": {"type": "str"},
                **owned,
            },
        },
        "absent": {"type": "list", "elements": "path", "default": []},
        "blocks": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "dest": {"type": "path", "required": True},
                "name": {"type": "str", "required": True},
                "content": {"type": "str", "required": True},
            },
        },
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    writer = Writer(module)
    for wanted in module.params["directories"]:
        writer.directory(wanted)
    for wanted in module.params["files"]:
        writer.file(wanted)
    for wanted in module.params["blocks"]:
        writer.block(wanted)
    for path in module.params["absent"]:
        writer.absent(Path(path))
    module.exit_json(changed=bool(writer.changed_paths), changed_paths=writer.changed_paths, diff=writer.diffs)


if __name__ == "__main__":
    main()
