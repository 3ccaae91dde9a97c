# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenStack itself: its services, started side by side in a directory of their own, and ended together."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.caravan.cluster.plugins.module_utils._backup.loopback import free_port

from . import configuration

HERE = Path(__file__).parent
ROOT = HERE.parents[3]
ENVIRONMENT = ROOT / ".caravan" / "openstack"
PASTE = {"glance": "glance-api-paste.ini"} | dict.fromkeys(("neutron", "nova", "cinder"), "api-paste.ini")
DIRECTORIES = ("fernet", "credentials", "locks", "images/staging", "images/tasks", "neutron", "nova", "cinder")
STARTING = 300
# Neutron finds its drivers by what packages say of themselves.
ENTRY_POINTS = "[neutron.ml2.mechanism_drivers]\ncaravan = network_driver:Ports\n"


@dataclass(frozen=True)
class Hypervisor:
    """What runs the machines of both hosts. Nova's own fake driver runs none.

    driver: a class of a module in `nova.virt`, or here. packages, environment: what it needs beside Nova.
    """

    driver: str = "fake.FakeDriver"
    packages: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


class Cloud:
    """`urls`: the services' own addresses by their names. The administrator's name is admin, in the project admin."""

    def __init__(self, hypervisor: Hypervisor) -> None:
        self.hypervisor = hypervisor
        subprocess.run([ROOT / "scripts" / "openstack"], check=True)
        self.password = secrets.token_urlsafe(16)
        self.directory = Path(tempfile.mkdtemp(prefix="openstack-"))
        ports = {name: free_port() for name in configuration.SERVICES}
        self.urls = {name: f"http://127.0.0.1:{port}{configuration.SERVICES[name][1]}" for name, port in ports.items()}
        shutil.copytree(self._databases(), self.directory, dirs_exist_ok=True)
        configuration.write(self.directory, self.urls, self.password, hypervisor.driver)
        keystone = ("--bootstrap-service-name", "keystone", "--bootstrap-internal-url", self.urls["keystone"] + "/v3")
        config = ("--config-file", "keystone.conf")
        self._run("keystone-manage", *config, "bootstrap", "--bootstrap-region-id", configuration.REGION, *keystone)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            # Neutron asks for keystone and nova for all others, but only when they are asked something themselves.
            for name, port in ports.items():
                if name not in ("nova", "cinder"):
                    self._start(name, port)
            self._wait()
        except BaseException:
            self.stop()
            raise
        self.ports = ports

    def start_compute(self) -> None:
        """Nova and cinder, which look others up in the catalogue at once."""
        for name in ("cinder", "nova"):
            self._start(name, self.ports[name])
        self._wait()

    def _environment(self) -> dict[str, str]:
        packages = ":".join([f"{self.directory}:{HERE}:{HERE.parent}", *self.hypervisor.packages])
        own = {"PYTHONPATH": packages, "OS_BOOTSTRAP_PASSWORD": self.password, **self.hypervisor.environment}
        return {"PATH": f"{ENVIRONMENT / 'bin'}:{os.defpath}:/usr/sbin:/sbin", "HOME": str(self.directory), **own}

    def _run(self, program: str, *arguments: str) -> None:
        where = ENVIRONMENT / "bin" / program
        subprocess.run(
            [where, *arguments], cwd=self.directory, env=self._environment(), check=True, capture_output=True
        )

    def _databases(self) -> Path:
        """Those of a cloud that has just been installed; made once, and again when what they come from changes."""
        sources = [ROOT / "requirements" / "openstack.txt", HERE / "databases.py"]
        digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
        kept = ENVIRONMENT / f"databases-{digest}"
        # Two runs of tests may begin at the same time.
        with (ENVIRONMENT / "databases.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.is_dir():
                self._install().rename(kept)
        return kept

    def _install(self) -> Path:
        """A directory as `databases.py` leaves it, with all files that the services look for."""
        making = Path(tempfile.mkdtemp(dir=ENVIRONMENT, prefix="making-"))
        package = making / "caravan-1.dist-info"
        package.mkdir()
        (package / "METADATA").write_text("Metadata-Version: 2.1\nName: caravan\nVersion: 1\n")
        (package / "entry_points.txt").write_text(ENTRY_POINTS)
        for name, file in PASTE.items():
            shutil.copy(ENVIRONMENT / "etc" / name / file, making / f"{name}-paste.ini")
        shutil.copy(ENVIRONMENT / "etc" / "cinder" / "resource_filters.json", making)
        for name in DIRECTORIES:
            (making / name).mkdir(parents=True, exist_ok=True)
        configuration.write(making, {}, "unused")
        environment = {**self._environment(), "PYTHONPATH": f"{making}:{HERE}"}
        program = [ENVIRONMENT / "bin" / "python", HERE / "databases.py"]
        done = subprocess.run(program, cwd=making, env=environment, check=False, capture_output=True)
        if done.returncode:
            raise RuntimeError(done.stderr.decode()[-2000:])
        return making

    def _start(self, name: str, port: int) -> None:
        path = configuration.SERVICES[name][1]
        program = [str(ENVIRONMENT / "bin" / "python"), str(HERE / "serve.py"), name, str(port), path]
        with (self.directory / f"{name}.out").open("wb") as output:
            self.processes[name] = subprocess.Popen(
                program,
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + STARTING
        for name, process in self.processes.items():
            while not _answers(self.urls[name]):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{name} does not answer:\n{self.log(name)}")
                time.sleep(0.1)

    def log(self, name: str) -> str:
        """The end of what a service wrote."""
        texts = [place.read_text()[-3000:] for place in sorted(self.directory.glob(f"{name}.[lo]*"))]
        return "\n".join(texts)

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
            if process.stdin:
                process.stdin.close()
        shutil.rmtree(self.directory)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
