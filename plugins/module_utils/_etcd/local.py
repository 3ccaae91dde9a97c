# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The member's own host: data directory, record, service. The edge that touches files and systemd."""

from __future__ import annotations

import grp
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import wal
from .model import EtcdError, Host
from .planner import first_start_config

UNIT = "etcd.service"
RECORD = Path("/etc/etcd/member.json")
CONFIG = Path("/etc/etcd/etcd.yml")
UNIT_FILE = Path("/etc/systemd/system") / UNIT
# Lost at a reboot, and that is right: only the first start of a member may read it.
FIRST_START = Path("/run/etcd-first-start")

Run = Callable[[list[str]], "tuple[int, str, str]"]


class LocalMember:
    """`run` starts a program and returns (code, stdout, stderr); `watched` are the files a running etcd must not be
    older than."""

    def __init__(self, name: str, data_dir: str, watched: list[str], run: Run) -> None:
        self.name = name
        self.data_dir = Path(data_dir)
        self.watched = [Path(path) for path in watched]
        self.run = run

    def observe(self) -> Host:
        ids = wal.identity(self.data_dir)
        unit = self._show()
        active = unit.get("ActiveState") in ("active", "activating", "reloading")
        return Host(
            name=self.name,
            has_data=ids is not None,
            member_id=ids[0] if ids else None,
            cluster_id=ids[1] if ids else None,
            record=self.record(),
            active=active,
            enabled=unit.get("UnitFileState") == "enabled",
            stale=active and self._is_stale(unit),
        )

    def record(self) -> dict[str, Any]:
        try:
            found = json.loads(RECORD.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def keep_record(self, record: dict[str, Any]) -> bool:
        if self.record() == record:
            return False
        RECORD.parent.mkdir(parents=True, exist_ok=True)
        temporary = RECORD.with_name(f".{RECORD.name}.new")
        temporary.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        temporary.chmod(0o644)
        temporary.replace(RECORD)
        return True

    def forget(self) -> None:
        """After the member was removed: what is left is no member of anything."""
        RECORD.unlink(missing_ok=True)
        self.clear_first_start()

    def prepare_first_start(self, state: str, initial_cluster: str) -> None:
        """Write the configuration of the first start, which the unit prefers as long as it is there."""
        shutil.rmtree(FIRST_START, ignore_errors=True)
        FIRST_START.mkdir(mode=0o750)
        config = FIRST_START / CONFIG.name
        config.write_text(
            first_start_config(CONFIG.read_text(encoding="utf-8"), state, initial_cluster), encoding="utf-8"
        )
        config.chmod(0o640)
        group = grp.getgrnam("etcd").gr_gid
        os.chown(FIRST_START, 0, group)
        os.chown(config, 0, group)
        (FIRST_START / "environment").write_text(f"ETCD_CONFIGURATION={config}\n", encoding="utf-8")

    def has_first_start(self) -> bool:
        return FIRST_START.exists()

    def clear_first_start(self) -> None:
        shutil.rmtree(FIRST_START, ignore_errors=True)

    def start(self) -> None:
        """Without waiting: systemd calls etcd started only when it has a leader, and that can need the others."""
        self._reload_if_needed()
        self._systemctl("reset-failed", UNIT)
        self._systemctl("start", "--no-block", UNIT)

    def restart(self) -> None:
        self._reload_if_needed()
        self._systemctl("restart", "--no-block", UNIT)

    def stop(self) -> None:
        self._systemctl("stop", UNIT)

    def enable(self) -> None:
        self._systemctl("enable", UNIT)

    def disable(self) -> None:
        self._systemctl("disable", UNIT)

    def set_data_aside(self) -> Path:
        """Rename, never delete: the data may be wanted after all."""
        self.stop()
        data = self.data_dir / "member"
        aside = self.data_dir / f"member.removed-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        data.rename(aside)
        return aside

    def started_at(self) -> str:
        return self._show().get("ExecMainStartTimestampMonotonic", "0")

    def journal(self) -> str:
        _code, out, _err = self.run(["journalctl", "--unit", UNIT, "--lines", "8", "--no-pager", "--output", "cat"])
        return out.strip()

    def _show(self) -> dict[str, str]:
        properties = "ActiveState,UnitFileState,NeedDaemonReload,ExecMainStartTimestampMonotonic,MainPID"
        code, out, err = self.run(["systemctl", "show", f"--property={properties}", UNIT])
        if code != 0:
            raise EtcdError(f"systemctl show {UNIT}: {err.strip()}")
        return dict(line.partition("=")[::2] for line in out.splitlines())

    def _is_stale(self, unit: dict[str, str]) -> bool:
        started = int(unit.get("ExecMainStartTimestampMonotonic") or 0) / 1_000_000
        process_age = time.monotonic() - started
        now = time.time()
        # The change time: a program out of an archive has the archive's modification time. An age below zero means that
        # the clock was set back since; such a file says nothing, or every run would restart etcd.
        ages = [now - path.stat().st_ctime for path in self.watched if path.exists()]
        return any(0 <= age < process_age for age in ages)

    def _reload_if_needed(self) -> None:
        if self._show().get("NeedDaemonReload") == "yes" or not self._is_known():
            self._systemctl("daemon-reload")

    def _is_known(self) -> bool:
        code, out, _err = self.run(["systemctl", "show", "--property=LoadState", "--value", UNIT])
        return code == 0 and out.strip() == "loaded"

    def _systemctl(self, verb: str, *arguments: str) -> None:
        code, out, err = self.run(["systemctl", verb, *arguments])
        if code != 0 and verb != "reset-failed":
            raise EtcdError(f"systemctl {verb} {' '.join(arguments)}: {(err or out).strip()}\n{self.journal()}")
