# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines may do: a role with one policy, in an instance profile."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from ..errors import ProviderError
from ..model import Change, Found, Kind, Resource
from .api import tag_list, tags_of
from .ec2 import AwsHandler

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
POLICY = "caravan"


class Identity(AwsHandler):
    """Role and profile have the same name, under a path of the cluster's own. The id is that name.

    policy: the statements of its one policy; profile: whether the role is in its instance profile.
    """

    kind = Kind("identity", needs=("bucket", "key"), mutable=frozenset({"policy", "profile"}))

    def iam(self, operation: str, about: str, gone: bool = False, **parameters: Any) -> Any:
        return self.api.call("iam", operation, about=about, gone=gone, **parameters)

    @property
    def path(self) -> str:
        return f"/caravan/{self.ownership.infra_id}/"

    def observe(self) -> Iterator[Found]:
        roles = list(self.api.pages("iam", "list_roles", "Roles", PathPrefix=self.path))
        if not roles:
            return
        profiles = {
            profile["InstanceProfileName"]: [role["RoleName"] for role in profile["Roles"]]
            for profile in self.api.pages("iam", "list_instance_profiles", "InstanceProfiles", PathPrefix=self.path)
        }
        for role in roles:
            name = role["RoleName"]
            tags = tags_of(self.iam("list_role_tags", name, RoleName=name))
            if not self.ownership.owns(tags):
                continue
            policy = self.iam("get_role_policy", name, gone=True, RoleName=name, PolicyName=POLICY)
            properties = {
                "policy": statements(policy["PolicyDocument"]) if policy else [],
                "profile": name in profiles.get(name, ()),
            }
            details = {"arn": role["Arn"], "has_profile": name in profiles}
            yield Found(
                "identity", self.ownership.name(tags), name, properties, self.ownership.stamp(tags), details=details
            )

    def create(self, wanted: Resource, token: str) -> Found:
        name = self.at_provider(wanted.name, 64)
        answer = self.iam(
            "create_role",
            wanted.key,
            Path=self.path,
            RoleName=name,
            AssumeRolePolicyDocument=json.dumps(TRUST),
            Tags=tag_list(self.ownership.tags(wanted.name)),
        )
        return self._complete(wanted, name, answer["Role"]["Arn"])

    def update(self, found: Found, wanted: Resource, changes: Sequence[Change]) -> Found:
        return self._complete(wanted, found.id, found.details["arn"])

    def _complete(self, wanted: Resource, name: str, arn: str) -> Found:
        document = json.dumps({"Version": "2012-10-17", "Statement": wanted.properties["policy"]})
        self.iam("put_role_policy", wanted.key, RoleName=name, PolicyName=POLICY, PolicyDocument=document)
        tags = tag_list(self.ownership.tags(wanted.name))
        for operation, parameters in (
            ("create_instance_profile", {"Path": self.path, "Tags": tags}),
            ("add_role_to_instance_profile", {"RoleName": name}),
        ):
            try:
                self.iam(operation, wanted.key, InstanceProfileName=name, **parameters)
            except ProviderError as error:
                # Done by an earlier run that was interrupted, under a name that only this cluster has.
                if "EntityAlreadyExists" not in str(error) and "LimitExceeded" not in str(error):
                    raise
        stamp = tag_list({self.ownership.stamp_tag: wanted.stamp})
        self.iam("tag_role", wanted.key, RoleName=name, Tags=stamp)
        return Found("identity", wanted.name, name, wanted.properties, wanted.stamp, details={"arn": arn})

    def delete(self, found: Found) -> None:
        name = found.id
        profile = {"InstanceProfileName": name}
        # An interrupted run may have done a part of this.
        if found.properties["profile"]:
            self.iam("remove_role_from_instance_profile", found.key, gone=True, RoleName=name, **profile)
        if found.details.get("has_profile", True):
            self.iam("delete_instance_profile", found.key, gone=True, **profile)
        if found.properties["policy"]:
            self.iam("delete_role_policy", found.key, gone=True, RoleName=name, PolicyName=POLICY)
        self.iam("delete_role", found.key, gone=True, RoleName=name)


def statements(document: Any) -> list[Any]:
    """The statements of a policy, which IAM gives as text (quoted as in an address) or already read."""
    parsed: Mapping[str, Any] = json.loads(unquote(document)) if isinstance(document, str) else document
    return list(parsed.get("Statement", []))
