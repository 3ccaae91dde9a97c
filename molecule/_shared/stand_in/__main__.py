# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m stand_in start PROVIDER ...` returns when the API answers, and leaves a process behind; `stop` ends it."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

PID, LOG = "pid", "log"
PATIENCE = 60
# OpenStack is installed where it has not been yet.
STARTING = 900
MOLECULE = Path(__file__).resolve().parents[2]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="stand_in", description=__doc__)
    parser.add_argument("verb", choices=["start", "serve", "stop"])
    parser.add_argument("provider", nargs="?", choices=["aws", "azure", "openstack", "baremetal"])
    parser.add_argument("--directory", type=Path, required=True, help="where its files are: settings, log, pid")
    parser.add_argument("--inventory", help="the name of the local machines' inventory, whose network it uses")
    parser.add_argument("--project", help="the directory on the controller that containers belong to")
    parser.add_argument("--cidr", help="the network, whose first address is the controller's")
    parser.add_argument("--authorized-keys", type=Path, help="who may log in, where the site installs machines")
    parser.add_argument("--name", action="append", default=[], help="NAME=ADDRESS, a name that the site knows")
    return parser.parse_args()


def start(options: argparse.Namespace) -> int:
    options.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in options.directory.glob("*"):
        old.unlink()
    command = [sys.executable, "-m", "stand_in", "serve", *sys.argv[2:]]
    with (options.directory / LOG).open("w") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment()
        )
    deadline = time.monotonic() + STARTING
    while process.poll() is None and time.monotonic() < deadline:
        if (options.directory / PID).exists():
            return 0
        time.sleep(0.1)
    process.kill()
    print((options.directory / LOG).read_text()[-4000:], file=sys.stderr)
    return 1


def environment() -> dict[str, str]:
    """With the packages that this one is made of: the tests' stand-ins, and the collection."""
    repository = MOLECULE.parent
    paths = [
        MOLECULE / "_shared",
        repository / "tests" / "integration" / "providers",
        repository / ".caravan/collections",
    ]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}


def stop(options: argparse.Namespace) -> int:
    """Its containers go with it, and its files. One that is not there is stopped already."""
    try:
        pid = int((options.directory / PID).read_text())
    except FileNotFoundError:
        return 0
    if _runs(pid):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE
    while _runs(pid):
        if time.monotonic() > deadline:
            print(f"process {pid} has not ended within {PATIENCE} s", file=sys.stderr)
            return 1
        time.sleep(0.1)
    shutil.rmtree(options.directory)
    print("stopped")
    return 0


def _runs(pid: int) -> bool:
    """Whether it is ours, and has not ended: what is left of an ended process has no arguments."""
    try:
        return b"stand_in" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def main() -> int:
    options = arguments()
    if options.verb == "stop":
        return stop(options)
    if options.verb == "start":
        return start(options)
    from .serving import serve

    serve(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
