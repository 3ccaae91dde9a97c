# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The software bill of materials of a mirror, as CycloneDX.

Wants the library cyclonedx-python-lib, on the controller only.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import ArtifactError

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://github.com/caravan-cluster/caravan/sbom")


def serial_number(states: Sequence[Mapping[str, Any]]) -> str:
    """The bill's own name. It follows from the content: the same mirror has the same bill."""
    text = json.dumps(states, sort_keys=True)
    return uuid.uuid5(NAMESPACE, hashlib.sha256(text.encode()).hexdigest()).urn


def compose(states: Sequence[Mapping[str, Any]]) -> str:
    """The bill as JSON: every component with its files and images, and what each was made from."""
    try:
        from cyclonedx.model import HashAlgorithm, HashType, Property
        from cyclonedx.model.bom import Bom
        from cyclonedx.model.component import Component, ComponentType
        from cyclonedx.model.license import LicenseExpression
        from cyclonedx.output.json import JsonV1Dot6
        from packageurl import PackageURL
    except ImportError as error:
        raise ArtifactError("the SBOM wants the Python package cyclonedx-python-lib on the controller") from error
    bom = Bom(serial_number=uuid.UUID(serial_number(states)))
    shared: dict[str, Any] = {}

    def library(purl: Any, version: str, name: str, checksum: str = "") -> Any:
        reference = purl.to_string()
        if reference not in shared:
            properties = [Property(name="go:sum", value=checksum)] if checksum else []
            shared[reference] = Component(
                type=ComponentType.LIBRARY,
                name=name,
                version=version,
                purl=purl,
                bom_ref=reference,
                properties=properties,
            )
            bom.components.add(shared[reference])
        return shared[reference]

    for state in states:
        reference = f"{state['component']}@{state['version']}-{state['architecture']}"
        component = Component(
            type=ComponentType.APPLICATION,
            name=state["component"],
            version=state["version"],
            bom_ref=reference,
            licenses=[LicenseExpression(state["licence"])],
            properties=[
                Property(name="caravan:source", value=state["source"]),
                Property(name="caravan:method", value=state["method"]),
                Property(name="caravan:architecture", value=state["architecture"]),
                Property(name="caravan:compiler", value=state["compiler"]),
            ],
        )
        bom.components.add(component)
        parts = [
            library(module_url(module, PackageURL), module["version"], module["path"], module["sum"])
            for module in state["modules"]
        ]
        parts += [
            library(
                PackageURL("deb", "debian", package["package"], package["version"], {"arch": package["architecture"]}),
                package["version"],
                package["package"],
            )
            for package in state["packages"]
        ]
        for file in state["files"]:
            made = Component(
                type=ComponentType.FILE,
                name=file["path"],
                version=file["version"],
                bom_ref=f"file:{file['path']}",
                hashes=[HashType(alg=HashAlgorithm.SHA_256, content=file["sha256"])],
            )
            bom.components.add(made)
            bom.register_dependency(made, [component])
        for image in state["images"]:
            made = Component(
                type=ComponentType.CONTAINER,
                name=image["repository"],
                version=image["digest"],
                bom_ref=f"image:{image['reference']}:{state['architecture']}",
            )
            bom.components.add(made)
            bom.register_dependency(made, [component])
        bom.register_dependency(component, parts)
    return str(JsonV1Dot6(bom).output_as_string(indent=1)) + "\n"


def module_url(module: Mapping[str, str], package_url: Any) -> Any:
    namespace, _slash, name = module["path"].rpartition("/")
    return package_url("golang", namespace or None, name, module["version"])
