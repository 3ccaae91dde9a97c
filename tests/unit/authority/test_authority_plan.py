# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what hosts hold to the files they get, with real keys; and what the role identity says in between."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.action.authority_plan import Planning
from ansible_collections.caravan.cluster.plugins.module_utils._authority import catalogue
from ansible_collections.caravan.cluster.plugins.module_utils._authority.errors import AuthorityError
from ansible_collections.caravan.cluster.plugins.module_utils._identity import crypto
from ansible_collections.caravan.cluster.plugins.module_utils._identity.pem import certificates, fingerprint
from ansible_collections.caravan.cluster.plugins.module_utils._identity.settle import Held, IdentityRefused, decide

THEN = datetime.now(timezone.utc) - timedelta(days=30)
GROUPS = {"cp1": ["etcd", "control_plane"], "worker1": ["worker"]}
KEY = {name: crypto.generate_key("ecdsa-p256") for name in catalogue.AUTHORITIES}
PEM = {name: crypto.authority_certificate(KEY[name], name, 3650, THEN) for name in catalogue.AUTHORITIES}


def cluster() -> dict[str, Any]:
    """What was seen of a cluster that was never rotated; its certificates do not matter here."""
    hostvars: dict[str, Any] = {}
    for host, groups in GROUPS.items():
        bundles = catalogue.bundles_of(groups)
        hostvars[host] = {
            "__authority_rotation_seen": {
                "problem": "",
                "bundles": {bundle.path: PEM[bundle.authority] for bundle in bundles},
                "leaves": [
                    {"what": leaf.path, "path": leaf.path, "authority": leaf.authority, "pem": ""}
                    for leaf in catalogue.leaves_of(groups)
                ],
                "stale": [],
            },
            "__authority_rotation_held": {
                "files": {bundle.key: KEY[bundle.authority] for bundle in bundles if bundle.key and host != "worker1"}
            },
        }
    return {"hostvars": hostvars}


def planned(variables: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    defaults = {
        "hosts": list(GROUPS),
        "authorities": list(catalogue.AUTHORITIES),
        "published": {},
        "key_algorithm": "ecdsa-p256",
        "validity_days": 10,
    }
    return Planning({**defaults, **arguments}, variables).result()


def content(result: dict[str, Any], host: str, stage: str, path: str) -> str:
    return next(str(file["content"]) for file in result["targets"][host][stage] if file["dest"] == path)


def test_files_of_every_stage_fit_together() -> None:
    result = planned(cluster())
    for bundle in catalogue.BUNDLES:
        host = "cp1"
        old, new = PEM[bundle.authority], result["newest"][bundle.authority]
        assert fingerprint(old) != fingerprint(new)
        assert certificates(content(result, host, "trust", bundle.path)) == certificates(old) + certificates(new)
        assert certificates(content(result, host, "key", bundle.path)) == certificates(new) + certificates(old)
        assert certificates(content(result, host, "remove", bundle.path)) == certificates(new)
        if bundle.key:
            assert crypto.is_pair(content(result, host, "key", bundle.path), content(result, host, "key", bundle.key))


def test_keys_are_written_by_one_stage_to_hosts_that_sign_and_never_shown() -> None:
    result = planned(cluster())
    written = [
        (host, stage, file)
        for host, stages in result["targets"].items()
        for stage, files in stages.items()
        for file in files
        if "PRIVATE" in file["content"]
    ]
    assert {(host, stage) for host, stage, _ in written} == {("cp1", "key")}
    assert all(file["secret"] and file["mode"] == "0600" for _, _, file in written)
    shown = {key: value for key, value in result.items() if key != "targets"}
    assert "PRIVATE" not in str(shown)


def test_one_authority_alone_leaves_the_others_alone() -> None:
    result = planned(cluster(), authorities=["etcd"])
    assert result["rotated"] == ["etcd"]
    assert not result["restart"]
    assert {file["dest"] for file in result["targets"]["cp1"]["trust"]} == {
        catalogue.ETCD_CA,
        catalogue.ETCD_CA_FOR_CLIENTS,
    }
    assert result["targets"]["worker1"]["trust"] == []
    assert all(line.startswith("etcd: ") for line in result["told"])


def test_a_host_that_is_away_is_named() -> None:
    variables = cluster()
    del variables["hostvars"]["worker1"]["__authority_rotation_seen"]
    with pytest.raises(
        AuthorityError, match=r"nothing was changed\. worker1: it was not reached, and all hosts are needed"
    ):
        planned(variables)


def test_a_key_of_another_authority_is_named() -> None:
    variables = cluster()
    variables["hostvars"]["cp1"]["__authority_rotation_held"]["files"]["/etc/etcd/pki/ca.key"] = KEY["kubernetes"]
    with pytest.raises(AuthorityError, match=r"cp1: /etc/etcd/pki/ca\.key fits none of the certificates"):
        planned(variables)


@pytest.mark.parametrize(
    ("stale", "published", "completed"),
    [
        (["etcd"], [], ["etcd"]),
        ([], ["default/kube-root-ca.crt"], ["kubernetes", "front_proxy"]),
        ([], [], []),
    ],
)
def test_what_was_cut_off_at_its_end_is_completed_alone(
    stale: list[str], published: list[str], completed: list[str]
) -> None:
    variables = cluster()
    variables["hostvars"]["cp1"]["__authority_rotation_seen"]["stale"] = stale
    result = planned(variables, published={"differs": published})
    assert result["begun"] == bool(completed)
    assert result["rotated"] == (completed or list(catalogue.AUTHORITIES))
    for name in completed:
        assert fingerprint(result["newest"][name]) == fingerprint(PEM[name])


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (PEM["etcd"] + PEM["kubernetes"], "run the playbook rotate_authorities"),
        (PEM["kubernetes"], "Decide which one is the cluster's"),
    ],
)
def test_site_refuses_hosts_that_differ_and_says_what_to_do(other: str, told: str) -> None:
    path = catalogue.ETCD_CA
    held = {"etcd1": Held(["etcd"], {path: PEM["etcd"]}), "etcd2": Held(["etcd"], {path: other})}
    with pytest.raises(IdentityRefused, match=told):
        decide(held, [], "cluster")
