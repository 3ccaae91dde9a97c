# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real API server on a real etcd, without nodes: for whatever only has to be true to the API."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.caravan.cluster.plugins.module_utils._backup import drill_api, drill_bundle, drill_etcd
from ansible_collections.caravan.cluster.plugins.module_utils._identity import crypto
from built_programs import programs

REPOSITORY = Path(__file__).resolve().parents[2]
ETCD = "3.6.8"
KUBERNETES = "1.36.3"


class KubernetesApi:
    """What tests do with it. `kubeconfig`: the administrator's."""

    def __init__(self, api: drill_api.Api, directory: Path) -> None:
        self.api = api
        self.kubeconfig = directory / "kubeconfig"
        cluster = {
            "server": f"https://127.0.0.1:{api.port}",
            "certificate-authority-data": base64.b64encode(api.certificate.read_bytes()).decode(),
        }
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "test", "cluster": cluster}],
                    "users": [{"name": "admin", "user": {"token": api.token}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
                    "current-context": "test",
                }
            )
        )
        from kubernetes import config, dynamic

        self.client = dynamic.DynamicClient(config.new_client_from_config(str(self.kubeconfig)))

    def apply(self, objects: Sequence[dict[str, Any]], dry_run: bool = True) -> list[dict[str, Any]]:
        """Apply as the roles do, and return the server's objects. An unknown field or a bad value is an exception."""
        answers = []
        for one in json.loads(json.dumps(objects)):
            resource = self.client.resources.get(api_version=one["apiVersion"], kind=one["kind"])
            options = {"query_params": [("fieldValidation", "Strict")], **({"dry_run": "All"} if dry_run else {})}
            answer = self.client.server_side_apply(
                resource,
                body=one,
                namespace=one["metadata"].get("namespace"),
                field_manager="caravan",
                force_conflicts=True,
                **options,
            )
            answers.append(answer.to_dict())
        return answers

    def get(self, path: str) -> dict[str, Any]:
        return self.api.call("GET", path)


@contextlib.contextmanager
def running() -> Iterator[KubernetesApi]:
    with (
        pytest.MonkeyPatch.context() as patch,
        # In memory, with a path that is short enough for sockets.
        tempfile.TemporaryDirectory(prefix="caravan-", dir="/dev/shm") as name,
    ):
        directory = Path(name)
        patch.setenv("PATH", f"{programs('etcd', ETCD)}:{programs('kubernetes', KUBERNETES)}:{os.environ['PATH']}")
        secret = base64.b64encode(os.urandom(32)).decode()
        encryption = {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": [
                {"resources": ["secrets"], "providers": [{"secretbox": {"keys": [{"name": "key1", "secret": secret}]}}]}
            ],
        }
        files = {
            drill_bundle.SERVICE_ACCOUNT_KEY: crypto.generate_key("ecdsa-p256").encode(),
            drill_bundle.ENCRYPTION: yaml.safe_dump(encryption).encode(),
        }
        with (
            drill_etcd.serving(directory / "data", directory, 60) as etcd,
            drill_api.serving(etcd, files, "10.96.0.0/16", directory, 90, ["--allow-privileged=true"]) as api,
        ):
            yield KubernetesApi(api, directory)
