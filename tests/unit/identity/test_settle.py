# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which identity a cluster has, by what its hosts hold."""

from __future__ import annotations

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._identity.catalogue import (
    CONTROL_PLANE,
    ETCD,
    ITEMS,
    SHARED,
)
from ansible_collections.caravan.cluster.plugins.module_utils._identity.settle import (
    Held,
    IdentityRefused,
    decide,
    missing_files,
)

BOTH = (ETCD, CONTROL_PLANE)
COMPLETE = {file.path: f"the {file.value}\n" for file in SHARED}
CA = "/etc/kubernetes/pki/ca.crt"
CA_KEY = "/etc/kubernetes/pki/ca.key"


def without(*paths: str) -> dict[str, str]:
    return {path: text for path, text in COMPLETE.items() if path not in paths}


def test_nothing_is_held_and_all_hosts_are_reached_everything_is_made() -> None:
    decision = decide({"a": Held(BOTH), "b": Held(BOTH)}, [], "demo")
    assert list(decision.generate) == list(ITEMS)
    assert not decision.values


def test_what_one_host_holds_is_taken_for_all() -> None:
    decision = decide({"a": Held(BOTH), "b": Held(BOTH, COMPLETE)}, [], "demo")
    assert not decision.generate
    assert not decision.derive
    assert decision.values == {file.value: f"the {file.value}\n" for file in SHARED}
    assert {file.path for file in missing_files(Held(BOTH), decision.values)} == set(COMPLETE)
    assert missing_files(Held(BOTH, COMPLETE), decision.values) == []


def test_an_unreachable_host_does_not_matter_when_another_holds_everything() -> None:
    assert not decide({"a": Held(BOTH, COMPLETE)}, ["b"], "demo").generate


def test_different_white_space_is_no_conflict() -> None:
    other = {**COMPLETE, CA: COMPLETE[CA] + "\n"}
    assert not decide({"a": Held(BOTH, COMPLETE), "b": Held(BOTH, other)}, [], "demo").generate


def test_a_conflict_names_hosts_and_files_and_no_content() -> None:
    other = {**COMPLETE, CA_KEY: "something else"}
    with pytest.raises(IdentityRefused) as refused:
        decide({"a": Held(BOTH, COMPLETE), "b": Held(BOTH, other), "c": Held(BOTH, COMPLETE)}, [], "demo")
    message = str(refused.value)
    assert f"a:{CA_KEY}, c:{CA_KEY} differs from b:{CA_KEY}" in message
    assert "something else" not in message
    assert "the kubernetes_ca" not in message


def test_keys_in_the_middle_of_a_rotation_are_a_refusal_that_says_how_to_go_on() -> None:
    other = {**COMPLETE, "/etc/kubernetes/encryption.yml": "the old key and the new one"}
    with pytest.raises(IdentityRefused, match="run the playbook rotate_keys") as refused:
        decide({"a": Held(BOTH, COMPLETE), "b": Held(BOTH, other)}, [], "demo")
    assert "the old key" not in str(refused.value)
    with pytest.raises(IdentityRefused, match="Decide which one is the cluster's"):
        decide({"a": Held(BOTH, COMPLETE), "b": Held(BOTH, {**other, CA_KEY: "another"})}, [], "demo")


def test_the_same_authority_in_two_places_is_compared() -> None:
    with pytest.raises(IdentityRefused, match=r"a:/etc/etcd/pki/ca.crt differs from b:/etc/kubernetes/pki/etcd-ca.crt"):
        decide(
            {
                "a": Held((ETCD,), {"/etc/etcd/pki/ca.crt": "one", "/etc/etcd/pki/ca.key": "k"}),
                "b": Held((CONTROL_PLANE,), {"/etc/kubernetes/pki/etcd-ca.crt": "two"}),
            },
            [],
            "demo",
        )


def test_nothing_held_and_a_host_not_reached_is_refused_and_consent_lets_it_go_on() -> None:
    with pytest.raises(IdentityRefused, match=r"were not reached: b.*identity_create_consent=demo"):
        decide({"a": Held(BOTH)}, ["b"], "demo")
    assert len(decide({"a": Held(BOTH)}, ["b"], "demo", consent="demo").generate) == len(ITEMS)
    with pytest.raises(IdentityRefused, match="is 'other', but the cluster's name is 'demo'"):
        decide({"a": Held(BOTH)}, ["b"], "demo", consent="other")


def test_a_key_missing_in_a_living_cluster_is_refused() -> None:
    held = {"a": Held(BOTH, without("/etc/kubernetes/encryption.yml"), signs=("/var/lib/etcd/member",))}
    with pytest.raises(IdentityRefused, match=r"a:/var/lib/etcd/member.*the secrets-encryption keys"):
        decide(held, [], "demo")


def test_an_interrupted_first_run_goes_on() -> None:
    held = {"a": Held(BOTH, {CA_KEY: COMPLETE[CA_KEY]}), "b": Held(BOTH)}
    decision = decide(held, [], "demo")
    assert [item.name for item in decision.derive] == ["kubernetes_ca"]
    assert [item.name for item in decision.generate] == ["front_proxy_ca", "service_account", "encryption", "etcd_ca"]


@pytest.mark.parametrize("cut", range(len(SHARED) + 1))
def test_files_are_written_in_an_order_that_can_be_cut_off_anywhere(cut: int) -> None:
    written = {file.path: COMPLETE[file.path] for file in SHARED[:cut]}
    decide({"a": Held(BOTH, written)}, [], "demo")


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(IdentityRefused, match=r"a:/etc/kubernetes/pki/ca.crt.*/etc/kubernetes/pki/ca.key.*reached: b"):
        decide({"a": Held(BOTH, without(CA_KEY))}, ["b"], "demo")


def test_an_unreadable_file_is_refused() -> None:
    with pytest.raises(IdentityRefused, match=r"a:/etc/kubernetes/pki/ca.key \(Input/output error\)"):
        decide({"a": Held(BOTH, without(CA_KEY), unreadable={CA_KEY: "Input/output error"})}, [], "demo")


def test_a_part_without_reached_hosts_is_left_alone() -> None:
    """All etcd hosts are away: nothing of etcd is made, and the control plane's own files are settled."""
    paths = [file.path for file in SHARED if file.part == CONTROL_PLANE]
    decision = decide({"a": Held((CONTROL_PLANE,), {path: COMPLETE[path] for path in paths})}, ["e"], "demo")
    assert not decision.generate
    assert "etcd_ca.key" not in decision.values


def test_conflicts_hold_for_normalised_contents() -> None:
    def normalise(value: str, text: str) -> str:
        return text.lower()

    other = {**COMPLETE, CA: COMPLETE[CA].upper()}
    decide({"a": Held(BOTH, COMPLETE), "b": Held(BOTH, other)}, [], "demo", normalise=normalise)
