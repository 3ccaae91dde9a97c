# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be installed and pulled on a host."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts import images, receipts
from ansible_collections.caravan.cluster.plugins.module_utils._artifacts.errors import ArtifactError

PLAIN = {"name": "kubelet", "version": "1.36.3", "sha256": "aa", "url": "https://x/kubelet", "contained": None}
ARCHIVE = {
    "name": "etcd",
    "version": "3.6.8",
    "sha256": "bb",
    "url": "https://x/etcd.tar.gz",
    "contained": {"etcd-v3.6.8/etcd": "etcd", "etcd-v3.6.8/etcdctl": "etcdctl"},
}
RIGHT = (receipts.MODE, 0, 0)


def look(**seen: Any) -> Any:
    return lambda path: seen.get(path.rsplit("/", 1)[-1])


def test_a_plain_program_needs_no_receipt() -> None:
    targets = receipts.targets({**PLAIN, "dest": "/bin/kubelet", "members": {}})
    assert receipts.plan(targets, {}, look(kubelet=("aa", *RIGHT))) == []
    assert receipts.plan(targets, {}, look(kubelet=("other", *RIGHT))) == targets
    assert receipts.plan(targets, {}, look(kubelet=("aa", 0o755, 1000, 0))) == targets
    assert receipts.plan(targets, {}, look(kubelet=("aa", 0o777, 0, 0))) == targets
    assert receipts.plan(targets, {}, look()) == targets


def test_a_member_is_compared_with_its_receipt() -> None:
    (target,) = receipts.targets({**ARCHIVE, "dest": None, "members": {"etcd": "/bin/etcd"}})
    receipt = {"name": "etcd", "version": "3.6.8", "sha256": "bb", "member": "etcd", "files": {"/bin/etcd": "e1"}}
    there = look(etcd=("e1", *RIGHT))
    assert receipts.plan([target], {"/bin/etcd": receipt}, there) == []
    assert receipts.plan([target], {}, there) == [target]
    assert receipts.plan([target], {"/bin/etcd": {**receipt, "sha256": "older"}}, there) == [target]
    assert receipts.plan([target], {"/bin/etcd": receipt}, look(etcd=("changed", *RIGHT))) == [target]
    assert receipts.plan([target], {"/bin/etcd": {**receipt, "files": {}}}, there) == [target]


def test_all_of_an_archive_is_what_the_catalogue_lists() -> None:
    (target,) = receipts.targets({**ARCHIVE, "dest": None, "members": {"*": "/opt/bin/"}})
    assert target["programs"] == ARCHIVE["contained"]
    files = {"/opt/bin/etcd": "e1", "/opt/bin/etcdctl": "c1"}
    receipt = {"name": "etcd", "version": "3.6.8", "sha256": "bb", "member": "*", "files": files}
    assert receipts.plan([target], {"/opt/bin/": receipt}, look(etcd=("e1", *RIGHT), etcdctl=("c1", *RIGHT))) == []
    assert receipts.plan([target], {"/opt/bin/": receipt}, look(etcd=("e1", *RIGHT))) == [target]


@pytest.mark.parametrize(
    ("artifact", "words"),
    [
        ({**PLAIN, "members": {"kubelet": "/bin/kubelet"}}, "give its dest"),
        ({**ARCHIVE, "dest": "/bin/etcd"}, "give its members"),
        ({**ARCHIVE, "members": {"etcdutl": "/bin/etcdutl"}}, "it has etcd, etcdctl"),
        ({**ARCHIVE, "members": {"*": "/bin"}}, "ending in /"),
        ({**ARCHIVE, "members": {"etcd": "/bin/"}}, "ending in /"),
    ],
)
def test_a_wrong_place_is_refused(artifact: dict[str, Any], words: str) -> None:
    with pytest.raises(ArtifactError) as error:
        receipts.targets(artifact)
    assert words in str(error.value)


def test_the_diff_says_what_was_there() -> None:
    (target,) = receipts.targets({**ARCHIVE, "dest": None, "members": {"etcd": "/bin/etcd"}})
    after = "/bin/etcd: etcd 3.6.8"
    assert receipts.describe(target, None, look()) == ("/bin/etcd: absent", after)
    assert receipts.describe(target, None, look(etcd=("x", *RIGHT))) == ("/bin/etcd: of unknown origin", after)
    older = {"name": "etcd", "version": "3.6.7"}
    assert receipts.describe(target, older, look()) == ("/bin/etcd: etcd 3.6.7", after)
    same = {"name": "etcd", "version": "3.6.8"}
    assert receipts.describe(target, same, look()) == ("/bin/etcd: etcd 3.6.8 (changed on the host)", after)


LISTING = """REF TYPE DIGEST SIZE PLATFORMS LABELS
registry.k8s.io/pause:3.10.1 application/vnd.oci.image.manifest.v1+json sha256:aa 317.7 KiB linux/amd64 x=y
registry.k8s.io/kube-proxy:v1 application/vnd.oci.image.manifest.v1+json sha256:bb 60 MiB linux/amd64 -
"""


def test_images_are_compared_by_digest() -> None:
    present = images.parse_listing(LISTING)
    assert present == {"registry.k8s.io/pause:3.10.1": "sha256:aa", "registry.k8s.io/kube-proxy:v1": "sha256:bb"}
    wanted = [
        {"reference": "registry.k8s.io/pause:3.10.1", "digest": "sha256:aa"},
        {"reference": "registry.k8s.io/kube-proxy:v1", "digest": "sha256:cc"},
        {"reference": "registry.k8s.io/new:1", "digest": "sha256:dd"},
    ]
    assert images.plan(wanted, present) == wanted[1:]
    assert images.parse_listing("REF TYPE DIGEST SIZE PLATFORMS LABELS\n") == {}


def test_the_last_words_of_a_failed_pull_are_its_error() -> None:
    said = "time=x level=warning msg=old\nresolving |---|\rctr: failed to resolve image: not found\n"
    assert images.last_words(said) == "ctr: failed to resolve image: not found"
    assert images.last_words("") == "nothing"
