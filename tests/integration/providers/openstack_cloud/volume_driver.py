# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes without a byte in them. Cinder loads this driver in the services' own Python."""

from __future__ import annotations

from typing import Any

from cinder.volume import driver
from cinder.volume.flows.manager.create_volume import CreateVolumeFromSpecTask as Creation


def no_bytes(self: Any, context: Any, volume: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
    return self.driver.create_volume(volume) or {}


# The image of an encrypted volume would be fetched, and then converted by a program that machines of tests lack.
Creation._create_from_image_cache_or_download = no_bytes


class Volumes(driver.VolumeDriver):
    def check_for_setup_error(self) -> None:
        pass

    def _update_volume_stats(self) -> None:
        self._stats = {
            "volume_backend_name": "files",
            "vendor_name": "Caravan",
            "driver_version": "1",
            "storage_protocol": "iscsi",
            "total_capacity_gb": "infinite",
            "free_capacity_gb": "infinite",
        }

    def create_volume(self, volume: Any) -> None:
        pass

    def delete_volume(self, volume: Any) -> None:
        pass

    def extend_volume(self, volume: Any, new_size: int) -> None:
        pass

    def clone_image(self, context: Any, volume: Any, image_location: Any, image_meta: Any, images: Any) -> Any:
        # Whatever image a machine boots from, its volume is there at once.
        return {}, True

    def ensure_export(self, context: Any, volume: Any) -> None:
        pass

    def create_export(self, context: Any, volume: Any, connector: Any) -> None:
        pass

    def remove_export(self, context: Any, volume: Any) -> None:
        pass

    def initialize_connection(self, volume: Any, connector: Any, **options: Any) -> dict[str, Any]:
        return {"driver_volume_type": "iscsi", "data": {"access_mode": "rw"}}

    def terminate_connection(self, volume: Any, connector: Any, **options: Any) -> None:
        pass
