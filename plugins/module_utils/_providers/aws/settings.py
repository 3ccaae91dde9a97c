# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `infrastructure_settings` and `native.aws` may hold here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import Problem
from ..reader import Reader
from ..spec import Pool, Spec

REGION = re.compile(r"[a-z]{2,3}(-[a-z]+)+-\d")


@dataclass(frozen=True)
class Settings:
    """region; profile: a name in the AWS configuration files (empty: the SDK's usual chain of credentials)."""

    region: str
    profile: str = ""

    @classmethod
    def read(cls, value: Mapping[str, Any], problems: list[Problem]) -> Settings:
        reader = Reader(value, "settings", "infrastructure_settings", problems)
        settings = cls(
            region=reader.text("region", pattern=REGION, what="a region such as eu-central-1"),
            profile=reader.text("profile", ""),
        )
        reader.end()
        return settings


@dataclass(frozen=True)
class NativePool:
    """instance_type in place of cpu and memory_gib; image_id in place of image."""

    instance_type: str = ""
    image_id: str = ""

    @classmethod
    def read(cls, pool: Pool, problems: list[Problem]) -> NativePool:
        variable = f"infrastructure_pools[{pool.name}].native.aws"
        reader = Reader(pool.native.get("aws"), f"pool {pool.name}, native.aws", variable, problems)
        native = cls(instance_type=reader.text("instance_type", ""), image_id=reader.text("image_id", ""))
        reader.end()
        return native


@dataclass(frozen=True)
class NativeNetwork:
    """vpc_id and subnet_ids ({zone: id}) of a network that exists; image_owners: whose images are looked through."""

    vpc_id: str = ""
    subnet_ids: Mapping[str, str] | None = None
    image_owners: tuple[str, ...] = ()

    @classmethod
    def read(cls, spec: Spec, problems: list[Problem]) -> NativeNetwork:
        reader = Reader(spec.native.get("aws"), "native.aws", "infrastructure_native.aws", problems)
        native = cls(
            vpc_id=reader.text("vpc_id", ""),
            subnet_ids=reader.mapping("subnet_ids"),
            image_owners=reader.words("image_owners"),
        )
        if spec.network.mode == "existing" and not (native.vpc_id and native.subnet_ids):
            reader.problem("lacks vpc_id or subnet_ids", "both, as infrastructure_network.mode is existing")
        if spec.network.mode == "managed" and (native.vpc_id or native.subnet_ids):
            reader.problem("has vpc_id or subnet_ids", "neither, as infrastructure_network.mode is managed")
        reader.end()
        return native
