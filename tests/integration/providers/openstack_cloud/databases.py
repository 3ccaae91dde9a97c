# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make the databases of all services, empty but for an administrator. Run by the services' own Python.

It takes half a minute, so the outcome is kept and copied for each run.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

BIN = Path(sys.executable).parent


def manage(program: str, *arguments: str) -> None:
    subprocess.run([BIN / program, *arguments], check=True, stdout=subprocess.DEVNULL)


def keystone() -> None:
    config = ("--config-file", "keystone.conf")
    manage("keystone-manage", *config, "db_sync")
    owner = ("--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid()))
    manage("keystone-manage", *config, "fernet_setup", *owner)
    manage("keystone-manage", *config, "credential_setup", *owner)
    # The password comes from the environment, OS_BOOTSTRAP_PASSWORD.
    manage("keystone-manage", *config, "bootstrap", "--bootstrap-region-id", "RegionOne")


def placement() -> None:
    manage("placement-manage", "--config-dir", ".", "--config-file", "placement.conf", "db", "sync")


def glance() -> None:
    manage("glance-manage", "--config-file", "glance-api.conf", "db_sync")


def neutron() -> None:
    """Its migrations do not know SQLite, which cannot alter constraints: the tables are made as they are today."""
    import sqlalchemy
    from neutron.db.migration.models import head

    head.get_metadata().create_all(sqlalchemy.create_engine("sqlite:///neutron.db"))
    manage("neutron-db-manage", "--config-file", "neutron.conf", "stamp", "heads")


def nova() -> None:
    config = ("--config-file", "nova.conf")
    manage("nova-manage", *config, "api_db", "sync")
    manage("nova-manage", *config, "cell_v2", "map_cell0", "--database_connection", "sqlite:///nova_cell0.db")
    manage("nova-manage", *config, "db", "sync")
    cell = ("--name", "cell1", "--database_connection", "sqlite:///nova.db?timeout=60", "--transport-url", "fake:/")
    manage("nova-manage", *config, "cell_v2", "create_cell", *cell)


def cinder() -> None:
    manage("cinder-manage", "--config-file", "cinder.conf", "db", "sync")


if __name__ == "__main__":
    if len(sys.argv) == 2:
        globals()[sys.argv[1]]()
    else:
        # Two at a time: each is a chain of programs that mostly start.
        names = ["nova", "keystone", "cinder", "placement", "glance", "neutron"]
        running: list[subprocess.Popen[bytes]] = []
        for name in names:
            running.append(subprocess.Popen([sys.executable, __file__, name]))
            if len(running) == 2 and running.pop(0).wait():
                sys.exit(f"the database of a service before {name} could not be made")
        if running[0].wait():
            sys.exit("the last database could not be made")
        for database in Path().glob("*.db"):
            # So that whoever reads does not wait for whoever writes.
            with contextlib.closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
