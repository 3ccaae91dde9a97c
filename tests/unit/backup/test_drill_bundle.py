# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import datetime
from dataclasses import replace

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._backup import drill_bundle
from ansible_collections.caravan.cluster.plugins.module_utils._backup.errors import BackupError
from ansible_collections.caravan.cluster.plugins.module_utils._backup.identity import Bundle
from ansible_collections.caravan.cluster.plugins.module_utils._backup.manifest import SnapshotManifest
from ansible_collections.caravan.cluster.plugins.module_utils._backup.names import IdentityName, SnapshotName
from ansible_collections.caravan.cluster.plugins.module_utils._identity.catalogue import SHARED

NOW = datetime.datetime(2026, 11, 21, 12, 0, tzinfo=datetime.timezone.utc)
HOUR = datetime.timedelta(hours=1)
NAME = SnapshotName(NOW, 5, "3.6.8", "cp1", "harbour")
BUNDLES = [IdentityName(NOW - HOUR, part, "0123456789abcdef", "harbour") for part in ("control_plane", "etcd")]
FILES = {path: path.encode() for paths in drill_bundle.FILES.values() for path in paths}


def manifest(*names: IdentityName) -> SnapshotManifest:
    return SnapshotManifest(
        "harbour", NAME.key, "", "cp1", "3.6.8", "", 5, 0, 0, 0, 0, "", {}, {name.part: name.key for name in names}, []
    )


def bundles() -> dict[str, Bundle]:
    return {
        part: Bundle({"cluster": "harbour", "part": part}, {path: FILES[path] for path in paths})
        for part, paths in drill_bundle.FILES.items()
    }


def test_the_files_are_those_of_the_role_identity() -> None:
    for part, paths in drill_bundle.FILES.items():
        assert set(paths) == {file.path for file in SHARED if file.part == part}


def test_the_bundles_of_the_manifest_are_taken() -> None:
    assert list(drill_bundle.wanted_names(manifest(*BUNDLES), NAME, BUNDLES).values()) == BUNDLES


def test_a_later_bundle_does_not_make_it_outdated() -> None:
    later = replace(BUNDLES[1], time=NOW + HOUR)
    assert drill_bundle.wanted_names(manifest(*BUNDLES), NAME, [*BUNDLES, later])["etcd"] == BUNDLES[1]


def test_missing_and_outdated_bundles() -> None:
    with pytest.raises(BackupError, match="no identity bundle of the part control_plane was stored"):
        drill_bundle.wanted_names(manifest(BUNDLES[1]), NAME, BUNDLES)
    with pytest.raises(BackupError, match=r"etcd_0123456789abcdef\.tar\.age is missing in the store"):
        drill_bundle.wanted_names(manifest(*BUNDLES), NAME, BUNDLES[:1])
    newer = replace(BUNDLES[1], time=NOW - HOUR / 2)
    with pytest.raises(BackupError, match=f"is outdated: {newer.key} was stored before the snapshot"):
        drill_bundle.wanted_names(manifest(*BUNDLES), NAME, [*BUNDLES, newer])


def same(pem: bytes) -> str:
    return "one key for all"


def test_a_whole_bundle() -> None:
    drill_bundle.check_whole(bundles(), "harbour", same)


def test_another_clusters_bundle() -> None:
    with pytest.raises(BackupError, match="of the cluster harbour, wanted control_plane of lagoon"):
        drill_bundle.check_whole(bundles(), "lagoon", same)


def test_a_file_is_missing_or_empty() -> None:
    wrong = bundles()
    wrong["etcd"].files["/etc/etcd/pki/ca.key"] = b"\n"
    with pytest.raises(BackupError, match=r"\(etcd\) lacks /etc/etcd/pki/ca\.key"):
        drill_bundle.check_whole(wrong, "harbour", same)


def test_a_key_of_another_certificate() -> None:
    def unequal(pem: bytes) -> str:
        return "another" if pem == b"/etc/kubernetes/pki/sa.pub" else "key"

    with pytest.raises(BackupError, match=r"sa\.key is not the key of its /etc/kubernetes/pki/sa\.pub"):
        drill_bundle.check_whole(bundles(), "harbour", unequal)


def test_a_file_that_is_no_key_is_not_quoted() -> None:
    def unreadable(pem: bytes) -> str:
        raise BackupError("not readable")

    with pytest.raises(BackupError, match=r"has a /etc/kubernetes/pki/ca\.crt or .*ca\.key that cannot be read"):
        drill_bundle.check_whole(bundles(), "harbour", unreadable)
