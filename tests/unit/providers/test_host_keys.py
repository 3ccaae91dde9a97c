# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host keys: what a console's text says, and what a file of known hosts comes to."""

from __future__ import annotations

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._providers import host_keys, spec_read
from ansible_collections.caravan.cluster.plugins.module_utils._providers.engine import Engine
from ansible_collections.caravan.cluster.plugins.module_utils._providers.errors import ProviderError
from ansible_collections.caravan.cluster.plugins.module_utils._providers.patience import Patience
from memory import DESCRIPTION, Memory, MemoryStrategy

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMiBuiQvIE2Q+mCZus0/FJD/dS5cDQ29lr3EE6GlYqnQ"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHlxbu2wB7nBb5jcLlqQmAmtiIeqbYQ9h9m0hGbRdVPk"
RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQCwzKbEJaJfAZyvtBgYQQp4LqXiy0H1FEZJo3NdNj6jf1lhABAMcx0="


def console(*keys: str) -> str:
    """As cloud-init writes it, with what else there is."""
    lines = [
        "[   12.4] cloud-init[61]: Cloud-init v. 22.4.2 running",
        "-----BEGIN SSH HOST KEY FINGERPRINTS-----",
        "256 SHA256:TZNIVR/4OWbCzfFIvPJpEuS9kr7aSUI6d+gAhkIwjy0 root@cp-1 (ED25519)",
        "-----END SSH HOST KEY FINGERPRINTS-----",
        "-----BEGIN SSH HOST KEY KEYS-----",
        *(f"{key} root@cp-1" for key in keys),
        "-----END SSH HOST KEY KEYS-----",
    ]
    return "\r\n".join([*lines, ""])


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", ()),
        (console(ED25519, RSA), (ED25519, RSA)),
        (console(ED25519).replace("ssh-ed25519", "[  20.1] cloud-init[99]: ssh-ed25519"), (ED25519,)),
        # Cut off in the middle: the rest comes with the next look.
        (console(ED25519, RSA)[:-40], ()),
        # What comes after the first block is not of the first boot.
        (console(ED25519) + console(OTHER), (ED25519,)),
        ("login: " + ED25519, ()),
        (console("ssh-ed25519 nonsense", "ssh-dss AAAAB3NzaC1kc3M="), ()),
    ],
)
def test_the_keys_on_a_console(text: str, keys: tuple[str, ...]) -> None:
    assert host_keys.on_console(text) == keys


MACHINES = [{"id": "i-1", "name": "cp-1"}, {"id": "i-2", "name": "worker-1"}]
PATIENCE = Patience(limit=1, sleep=lambda seconds: None)


def test_only_new_machines_are_asked() -> None:
    asked: list[str] = []

    def ask(machine: str) -> str:
        asked.append(machine)
        return console(OTHER)

    found = host_keys.recorded({"i-1": [ED25519], "i-0": [RSA]}, MACHINES, ask, PATIENCE)
    assert asked == ["i-2"]
    assert (found.added, found.gone) == (("worker-1",), ("i-0",))
    assert found.keys == {"i-1": [ED25519], "i-2": (OTHER,)}
    assert host_keys.parse(found.text) == {"i-1": (ED25519,), "i-2": (OTHER,)}


def test_a_machine_that_boots_is_waited_for() -> None:
    texts = iter(["", console(ED25519)[:300], console(ED25519)])
    found = host_keys.recorded({}, MACHINES[:1], lambda machine: next(texts), PATIENCE)
    assert found.keys == {"i-1": (ED25519,)}


def test_a_machine_that_tells_no_keys_is_named() -> None:
    patience = Patience(limit=0, sleep=lambda seconds: None)
    with pytest.raises(ProviderError, match="machine/cp-1: there are no SSH host keys on its console yet"):
        host_keys.recorded({}, MACHINES[:1], lambda machine: "login: ", patience)


def test_without_waiting_it_is_told_what_would_be_added() -> None:
    found = host_keys.expected({"i-0": [RSA], "i-1": [ED25519]}, MACHINES)
    assert (found.keys, found.added, found.gone) == ({"i-1": [ED25519]}, ("worker-1",), ("i-0",))


def test_no_machines_no_file() -> None:
    assert host_keys.expected({"i-0": [RSA]}, []).text == ""


def test_a_provider_without_consoles_says_so() -> None:
    engine = Engine(MemoryStrategy(spec_read.read(DESCRIPTION), Memory()))
    with pytest.raises(ProviderError, match=r"memory gives no machine's console.*infrastructure_known_hosts is set"):
        engine.host_keys({})
