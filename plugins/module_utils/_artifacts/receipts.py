# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done so that a machine has the wanted programs. Pure.

A *target* is `{name, version, sha256, member, dest}`: a program from an artifact at its place. `member` is None for an
artifact that is a plain program, and `*` for all of an archive into the directory `dest`.
A *receipt* is what was installed: `{dest: {name, version, sha256, member, files: {path: sha256}}}`, `sha256` being the
artifact's. A file's *seen* state is `(sha256, mode, uid, gid)`, or None where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

from .errors import ArtifactError

Seen = Optional[tuple[str, int, int, int]]
MODE = 0o755


def targets(artifact: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The targets of one resolved artifact of a task: what `install` says, with address and sha256."""
    common = {key: artifact[key] for key in ("name", "version", "sha256", "url")}
    wanted, dest = artifact.get("members") or {}, artifact.get("dest")
    contained = artifact.get("contained")
    if contained is None:
        if wanted or not dest:
            raise ArtifactError(f"{artifact['name']} is a single program: give its dest, not members")
        return [{**common, "member": None, "dest": dest}]
    if dest or not wanted:
        raise ArtifactError(f"{artifact['name']} is an archive: give its members, not a dest")
    found = []
    for member, place in wanted.items():
        if member != "*" and member not in contained.values():
            raise ArtifactError(
                f"{artifact['name']} {artifact['version']} has no member {member};"
                f" it has {', '.join(sorted(contained.values()))}"
            )
        if (member == "*") != place.endswith("/"):
            raise ArtifactError(
                f"{artifact['name']}: member {member} and {place}: '*' goes into a directory, ending in /"
            )
        # Only what the catalogue lists: upstream's archives also carry licences and documentation.
        programs = {path: name for path, name in contained.items() if member in ("*", name)}
        found.append({**common, "member": member, "dest": place, "programs": programs})
    return found


def is_current(target: Mapping[str, Any], receipt: Mapping[str, Any] | None, look: Callable[[str], Seen]) -> bool:
    """Whether a target is there, whole and unchanged."""
    if target["member"] is None:
        return look(target["dest"]) == (target["sha256"], MODE, 0, 0)
    if not receipt or receipt.get("sha256") != target["sha256"] or receipt.get("member") != target["member"]:
        return False
    files = receipt.get("files") or {}
    return bool(files) and all(look(path) == (sha256, MODE, 0, 0) for path, sha256 in files.items())


def plan(
    wanted: Sequence[Mapping[str, Any]], receipts: Mapping[str, Mapping[str, Any]], look: Callable[[str], Seen]
) -> list[dict[str, Any]]:
    """The targets to install, in order."""
    return [dict(target) for target in wanted if not is_current(target, receipts.get(target["dest"]), look)]


def describe(
    target: Mapping[str, Any], receipt: Mapping[str, Any] | None, look: Callable[[str], Seen]
) -> tuple[str, str]:
    """One line before and one after, for the diff."""
    after = f"{target['dest']}: {target['name']} {target['version']}"
    if receipt:
        before = f"{target['dest']}: {receipt['name']} {receipt['version']}"
        return (before + " (changed on the host)" if before == after else before), after
    if target["member"] != "*" and look(target["dest"]):
        return f"{target['dest']}: of unknown origin", after
    return f"{target['dest']}: absent", after
