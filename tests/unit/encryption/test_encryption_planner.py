# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation, cut off at every place, ends well, and every API server can read what any other one writes meanwhile."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._encryption.errors import EncryptionError
from ansible_collections.caravan.cluster.plugins.module_utils._encryption.layout import Key, Layout
from ansible_collections.caravan.cluster.plugins.module_utils._encryption.planner import STAGES, Plan, plan

ONE, TWO, THREE = Key("key1", "b25l"), Key("key-20260901-2", "dHdv"), Key("key-20260901-3", "dGhyZWU=")
HOSTS = ("cp1", "cp2", "cp3")
DAY = "20260901"


def make(name: str) -> Key:
    return Key(name, f"new-{name}")


def held(*keys: Key, encrypted: tuple[str, ...] = ("secrets",), plain: tuple[str, ...] = ()) -> Layout:
    return Layout(keys, encrypted, plain)


def decide(
    seen: dict[str, Layout], stored: dict[str, int] | None = None, wanted: tuple[str, ...] = ("secrets",)
) -> Plan:
    return plan(seen, stored or {}, wanted, make, DAY)


def steps(seen: dict[str, Layout], stored: dict[str, int] | None = None) -> list[tuple[str, list[str]]]:
    return [(str(step["step"]), list(step["hosts"])) for step in decide(seen, stored).steps(seen)]  # type: ignore[call-overload]


def test_a_new_rotation() -> None:
    seen = dict.fromkeys(HOSTS, held(ONE))
    decided = decide(seen, {"key1": 7})
    assert (decided.newest, decided.begun) == ("key-20260901-2", False)
    new = make("key-20260901-2")
    assert decided.targets["cp2"] == {
        "add": held(ONE, new),
        "promote": held(new, ONE),
        "remove": held(new),
    }
    everywhere = list(HOSTS)
    assert steps(seen) == [("add", everywhere), ("promote", everywhere), ("rewrite", []), ("remove", everywhere)]


@pytest.mark.parametrize(
    ("present", "name"),
    [
        (ONE, "key-20260901-2"),
        (TWO, "key-20260901-3"),
        (Key("key-20250101-41", "eA=="), "key-20260901-42"),
        (Key("by-hand", "eA=="), "key-20260901-1"),
    ],
)
def test_a_name_is_never_used_again(present: Key, name: str) -> None:
    assert decide({"cp1": held(present)}).newest == name


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        # Cut off while the new key was added, was put first, and while the old one was taken away.
        (
            {"cp1": held(ONE, TWO), "cp2": held(ONE)},
            [("add", ["cp2"]), ("promote", ["cp1", "cp2"]), ("rewrite", []), ("remove", ["cp1", "cp2"])],
        ),
        (
            {"cp1": held(ONE, TWO), "cp2": held(TWO, ONE)},
            [("promote", ["cp1"]), ("rewrite", []), ("remove", ["cp1", "cp2"])],
        ),
        ({"cp1": held(TWO, ONE), "cp2": held(TWO, ONE)}, [("rewrite", []), ("remove", ["cp1", "cp2"])]),
        ({"cp1": held(TWO), "cp2": held(TWO, ONE)}, [("rewrite", []), ("remove", ["cp2"])]),
        # A host that slept through a rotation writes what the others cannot read: they get its key, too.
        (
            {"cp1": held(TWO), "cp2": held(ONE)},
            [("add", ["cp1", "cp2"]), ("promote", ["cp2"]), ("rewrite", []), ("remove", ["cp1", "cp2"])],
        ),
    ],
)
def test_an_interrupted_rotation_is_completed_without_another_key(
    seen: dict[str, Layout], expected: list[tuple[str, list[str]]]
) -> None:
    decided = decide(seen)
    assert (decided.newest, decided.begun) == (TWO.name, True)
    assert steps(seen) == expected


def test_a_configuration_that_is_not_in_use_yet_is_the_end_of_an_interrupted_rotation() -> None:
    seen = dict.fromkeys(HOSTS, held(TWO))
    decided = plan(seen, {TWO.name: 3}, ("secrets",), make, DAY, settled=False)
    assert (decided.newest, decided.begun) == (TWO.name, True)
    assert [step["step"] for step in decided.steps(seen)] == ["rewrite"]


def test_objects_under_an_old_key_keep_it_readable_everywhere() -> None:
    seen = {"cp1": held(TWO), "cp2": held(TWO, ONE)}
    assert steps(seen, {"key1": 1})[0] == ("add", ["cp1"])


@pytest.mark.parametrize("first_keys", [(ONE,), (ONE, TWO)])
def test_cut_off_anywhere(first_keys: tuple[Key, ...]) -> None:
    """Apply each stage to every subset of the hosts, give up there, and begin anew from what is seen."""
    for stage, count in itertools.product(STAGES, range(len(HOSTS) + 1)):
        for done in itertools.combinations(HOSTS, count):
            cluster = World(dict.fromkeys(HOSTS, held(*first_keys)))
            cluster.run(until=stage, hosts=done)
            newest = cluster.run()
            assert {layout.keys for layout in cluster.files.values()} == {(newest,)}
            assert set(cluster.stored) <= {newest.name}


class World:
    """Hosts and an etcd to which every API server writes all the time, under the first key it has loaded."""

    def __init__(self, files: dict[str, Layout]) -> None:
        self.files = dict(files)
        self.loaded = dict(files)
        self.stored: Counter[str] = Counter()
        self.breathe()

    def breathe(self) -> None:
        for layout in self.loaded.values():
            self.stored[layout.keys[0].name] += 1
        for host, layout in self.loaded.items():
            assert set(self.stored) <= {key.name for key in layout.keys}, f"{host} cannot read everything"

    def run(self, until: str = "", hosts: tuple[str, ...] = ()) -> Key:
        """Rotate; cut off in the stage `until`, with the files of `hosts` written and not loaded."""
        decided = plan(self.files, self.stored, ("secrets",), make, DAY)
        for stage in STAGES:
            if stage == "remove":
                newest = self.loaded["cp1"].keys[0].name
                assert {layout.keys[0].name for layout in self.loaded.values()} == {newest}
                self.stored = Counter({newest: sum(self.stored.values())})
            for host in self.files:
                if until != stage or host in hosts:
                    self.files[host] = decided.targets[host][stage]
            if until == stage:
                break
            # API servers load one after another; before the next stage all have.
            for host in self.files:
                self.loaded[host] = self.files[host]
                self.breathe()
        return self.files["cp1"].keys[0]


def test_lost_keys_are_a_refusal() -> None:
    with pytest.raises(EncryptionError, match="3 under key-20260901-3"):
        decide(dict.fromkeys(HOSTS, held(ONE)), {"key1": 9, THREE.name: 3})


def test_different_keys_of_one_name_are_a_refusal() -> None:
    with pytest.raises(EncryptionError, match="cp1 and cp2 have different keys under the name key1") as refusal:
        decide({"cp1": held(ONE), "cp2": held(Key("key1", "b3RoZXI="))})
    assert "b3RoZXI=" not in str(refusal.value)


def test_names_without_an_order() -> None:
    old, new = Key("old", "eA=="), Key("new", "eQ==")
    assert decide({"cp1": held(new, old), "cp2": held(new, old)}).newest == "new"
    with pytest.raises(EncryptionError, match="do not say which one is the newest: new, old"):
        decide({"cp1": held(new, old), "cp2": held(old, new)})


def test_a_resource_that_comes_is_readable_everywhere_before_it_is_encrypted() -> None:
    decided = decide({"cp1": held(ONE)}, wanted=("secrets", "configmaps"))
    new = make(decided.newest)
    assert decided.targets["cp1"]["add"] == held(ONE, new, plain=("configmaps",))
    assert decided.targets["cp1"]["promote"] == held(new, ONE, encrypted=("secrets", "configmaps"))
    assert decided.resources == ("secrets", "configmaps")


def test_a_resource_that_goes_is_decrypted_before_its_keys_are_taken_away() -> None:
    decided = decide({"cp1": held(ONE, encrypted=("secrets", "configmaps"))})
    new = make(decided.newest)
    assert decided.targets["cp1"]["promote"] == held(new, ONE, plain=("configmaps",))
    assert decided.targets["cp1"]["remove"] == held(new)
    assert decided.resources == ("secrets", "configmaps")


def test_a_pattern_takes_the_place_of_a_resource() -> None:
    decided = decide({"cp1": held(ONE)}, wanted=("*.*",))
    assert decided.targets["cp1"]["add"].plain == ("*.*",)
    assert decided.targets["cp1"]["promote"] == held(make(decided.newest), ONE, encrypted=("*.*",))
