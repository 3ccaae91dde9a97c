# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The edge to management controllers: Redfish, by sushy. Nothing else imports sushy.

A controller serves few requests at a time, and each of ours has a connection of its own, which is closed after it.
Basic authentication over TLS leaves no sessions behind: controllers have few of them, and run out.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ..errors import ProviderError, TransientError
from ..patience import Patience
from .settings import Boot, Server, Settings

MISSING = "the provider baremetal needs the Python package sushy on the controller: {}"
Answer = TypeVar("Answer")
TRANSIENT = frozenset({409, 429, 502, 503, 504})
CONNECT, READ = 10, 60  # seconds


class UnauthorizedError(ProviderError):
    """The controller does not take the name and the password, or does not let them do this."""


class UnreachableError(TransientError):
    """Nothing answers at the controller's address, for now or for good."""


class Redfish:
    """patience: how long a change of power may take. busy: how long a controller may say that it is."""

    def __init__(self, settings: Settings, patience: Patience | None = None, busy: Patience | None = None) -> None:
        self.settings = settings
        self.patience = patience or Patience(limit=settings.shutdown_timeout, longest=2)
        self.busy = busy or Patience()

    def is_on(self, server: Server) -> bool:
        return self._call(server, lambda sushy, system: bool(system.power_state != sushy.PowerState.OFF))

    def start(self, server: Server, boot: Boot | None) -> None:
        """Switch it on, and with `boot` have it start from there this once."""

        def step(sushy: Any, system: Any) -> None:
            if boot and boot.method == "virtual_media":
                self._order(server, sushy, lambda: _insert(sushy, system, boot.image))
            if boot and boot.method != "disk":
                uefi, bios = sushy.BootSourceOverrideMode.UEFI, sushy.BootSourceOverrideMode.LEGACY
                options = {
                    "target": sushy.BootSource.PXE if boot.method == "pxe" else sushy.BootSource.CD,
                    "enabled": sushy.BootSourceOverrideEnabled.ONCE,
                    "mode": uefi if boot.mode == "uefi" else bios,
                }
                self._order(server, sushy, lambda: system.set_system_boot_options(**options))
            self._switch(server, sushy, system, sushy.ResetType.ON, sushy.PowerState.ON)

        self._call(server, step)

    def stop(self, server: Server) -> None:
        """Switch it off: the operating system is asked, and when it does not answer in time the power goes.

        An image that it was started from is taken out of its virtual drive.
        """

        def step(sushy: Any, system: Any) -> None:
            off = sushy.PowerState.OFF
            graceful = sushy.ResetType.GRACEFUL_SHUTDOWN
            if graceful in system.get_allowed_reset_system_values():
                with contextlib.suppress(ProviderError):
                    self._switch(server, sushy, system, graceful, off)
            self._switch(server, sushy, system, sushy.ResetType.FORCE_OFF, off)
            if self.settings.boot.method == "virtual_media":
                self._order(server, sushy, lambda: _eject(sushy, system))

        self._call(server, step)

    def _switch(self, server: Server, sushy: Any, system: Any, way: Any, wanted: Any) -> None:
        """Order a change of power that has not come about yet, and wait for it."""

        def order() -> None:
            system.refresh(force=True)
            if system.power_state != wanted:
                system.reset_system(way)

        def look(attempts: int) -> None:
            system.refresh(force=True)
            if system.power_state != wanted:
                raise TransientError(f"server {server.name} is {system.power_state.value}, and is to be {wanted.value}")

        self._order(server, sushy, order)
        self.patience(look)

    def _order(self, server: Server, sushy: Any, send: Callable[[], None]) -> None:
        """Send it again where the controller is busy, without going back to all that led here."""

        def step(attempts: int) -> None:
            with _translated(sushy, _about(server)):
                send()

        self.busy(step)

    def _call(self, server: Server, step: Callable[[Any, Any], Answer]) -> Answer:
        try:
            import sushy
            import sushy.auth
            import sushy.exceptions
        except ImportError as error:
            raise ProviderError(MISSING.format(error)) from error
        # It writes to its logger what it also raises, and a logger that nobody listens to writes to the terminal.
        logging.getLogger("sushy").addHandler(logging.NullHandler())
        with _translated(sushy, _about(server)):
            root = sushy.Sushy(
                server.bmc,
                auth=sushy.auth.BasicAuth(self.settings.bmc_username, self.settings.password(server)),
                verify=self.settings.bmc_ca_file or True,
                # One repetition, and a short one: whoever calls this is patient already.
                server_side_retries=1,
                server_side_retries_delay=0.2,
                read_timeout=READ,
                connect_timeout=CONNECT,
            )
            return step(sushy, root.get_system(_path(server)))


def _about(server: Server) -> str:
    return f"server {server.name} ({server.bmc})"


@contextlib.contextmanager
def _translated(sushy: Any, about: str) -> Iterator[None]:
    """sushy's errors as ours. What is busy, or does not answer, may do so later."""
    try:
        yield
    except sushy.exceptions.AccessError as error:
        raise UnauthorizedError(f"{about}: {_said(error)}") from error
    except sushy.exceptions.HTTPError as error:
        kind = TransientError if error.status_code in TRANSIENT else ProviderError
        raise kind(f"{about}: {_said(error)}") from error
    except sushy.exceptions.ConnectionError as error:
        # What is wrong with a certificate does not get better.
        wrong = "certificate" in str(error).lower()
        raise (ProviderError if wrong else UnreachableError)(f"{about}: {_said(error)}") from error
    except sushy.exceptions.SushyError as error:
        raise ProviderError(f"{about}: {_said(error)}") from error


def _path(server: Server) -> str | None:
    """The path of its system; None where the controller has one alone, which is then it."""
    if not server.system:
        return None
    return server.system if server.system.startswith("/") else f"/redfish/v1/Systems/{server.system}"


def _drive(sushy: Any, system: Any) -> Any:
    """The drive for virtual media: of the system in newer controllers, of its manager in older ones."""
    holders = [system, *system.managers]
    for holder in holders:
        try:
            drives = holder.virtual_media.get_members()
        except sushy.exceptions.MissingAttributeError:
            continue
        for drive in drives:
            if {sushy.VirtualMediaType.CD, sushy.VirtualMediaType.DVD} & set(drive.media_types or ()):
                return drive
    return None


def _insert(sushy: Any, system: Any, image: str) -> None:
    drive = _drive(sushy, system)
    if drive is None:
        raise ProviderError(f"{system.path} has no drive for virtual media: boot.method has to be pxe or disk")
    if drive.inserted and drive.image != image:
        drive.eject_media()
    if not (drive.inserted and drive.image == image):
        drive.insert_media(image)


def _eject(sushy: Any, system: Any) -> None:
    drive = _drive(sushy, system)
    if drive is not None and drive.inserted:
        drive.eject_media()


def _said(error: Exception) -> str:
    return " ".join(str(error).split())
