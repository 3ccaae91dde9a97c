# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configuration files of OpenStack's services: one directory, one process each, SQLite, and no message bus.

Paths are relative: every service runs in the directory that holds them, so a directory can be copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

REGION = "RegionOne"
# The services by their names, with the type and the path of their endpoints.
SERVICES = {
    "keystone": ("identity", "/identity"),
    "placement": ("placement", "/placement"),
    "glance": ("image", "/image"),
    "neutron": ("network", "/network"),
    "nova": ("compute", "/compute"),
    "cinder": ("block-storage", "/volume"),
}
FILES = {"glance": "glance-api"}
# The lock file of one process is no concern of another.
LOCKS = "locks"
Section = Mapping[str, object]


def database(name: str) -> str:
    # Whoever writes waits for the others.
    return f"sqlite:///{name}.db?timeout=60"


def file(service: str) -> str:
    return f"{FILES.get(service, service)}.conf"


def write(directory: Path, urls: Mapping[str, str], password: str, compute_driver: str = "fake.FakeDriver") -> None:
    """`urls`: the services' own addresses, by their names; none while only the databases are made."""
    for name in SERVICES:
        place = directory / file(name)
        place.touch(mode=0o600)
        sections = _service(name, urls, password, compute_driver)
        if name == "cinder":
            sections["coordination"] = {"backend_url": f"file://{directory}/cinder"}
        place.write_text(_render(sections))


def _render(sections: Mapping[str, Section]) -> str:
    lines = []
    for name, section in sections.items():
        lines += [f"[{name}]", *(f"{key} = {value}" for key, value in section.items()), ""]
    return "\n".join(lines)


def _service(name: str, urls: Mapping[str, str], password: str, compute_driver: str) -> dict[str, Section]:
    keystone = urls.get("keystone", "")
    account = {
        "auth_url": keystone,
        "auth_type": "password",
        "username": "admin",
        "password": password,
        "project_name": "admin",
        "user_domain_id": "default",
        "project_domain_id": "default",
        "region_name": REGION,
        # Services talk to each other directly, and not through what the tests put in front of them.
        "valid_interfaces": "internal",
    }
    common: dict[str, Section] = {
        "database": {"connection": database(name), "sqlite_synchronous": "false"},
        "oslo_concurrency": {"lock_path": LOCKS},
        "oslo_messaging_notifications": {"driver": "noop"},
        "keystone_authtoken": {
            **account,
            "interface": "internal",
            "www_authenticate_uri": keystone,
            "service_type": SERVICES[name][0],
            "service_token_roles_required": "true",
        },
    }
    user = {**account, "send_service_user_token": "true"}
    default = {"transport_url": "fake:/", "state_path": name, "log_file": f"{name}.log"}
    own: dict[str, dict[str, Section]] = {
        "keystone": {
            "DEFAULT": {"log_file": "keystone.log"},
            "fernet_tokens": {"key_repository": "fernet"},
            "credential": {"key_repository": "credentials"},
            "cache": {"enabled": "true", "backend": "dogpile.cache.memory"},
            "identity": {"password_hash_rounds": 4},
        },
        "placement": {
            "DEFAULT": {"log_file": "placement.log"},
            "api": {"auth_strategy": "keystone"},
            "placement_database": common["database"],
        },
        "glance": {
            "DEFAULT": {"log_file": "glance.log", "enabled_backends": "files:file"},
            "glance_store": {"default_backend": "files"},
            "files": {"filesystem_store_datadir": "images"},
            "os_glance_staging_store": {"filesystem_store_datadir": "images/staging"},
            "os_glance_tasks_store": {"filesystem_store_datadir": "images/tasks"},
            "paste_deploy": {"flavor": "keystone", "config_file": "glance-paste.ini"},
        },
        "neutron": {
            "DEFAULT": {
                **default,
                "core_plugin": "ml2",
                "service_plugins": "router",
                "api_paste_config": "neutron-paste.ini",
                "notify_nova_on_port_status_changes": "false",
                "notify_nova_on_port_data_changes": "false",
            },
            "ml2": {
                "type_drivers": "flat,vxlan",
                "tenant_network_types": "vxlan",
                "mechanism_drivers": "caravan",
                "extension_drivers": "port_security",
            },
            "ml2_type_vxlan": {"vni_ranges": "1:10000"},
            "ml2_type_flat": {"flat_networks": "*"},
        },
        "nova": {
            "DEFAULT": {
                **default,
                "compute_driver": compute_driver,
                "my_ip": "127.0.0.1",
                "enabled_apis": "osapi_compute",
                # Machines of all tests before are there: nothing looks after them time and again.
                "periodic_enable": "false",
                "report_interval": 30,
                "service_down_time": 600,
                # Volumes to boot from are there in no time.
                "block_device_allocate_retries_interval": 1,
            },
            "api": {"auth_strategy": "keystone"},
            "api_database": {"connection": database("nova_api"), "sqlite_synchronous": "false"},
            "wsgi": {"api_paste_config": "nova-paste.ini"},
            "glance": {"endpoint_override": urls.get("glance", ""), **account},
            "placement": account,
            "neutron": account,
            "cinder": {**account, "catalog_info": "block-storage:cinder:internalURL"},
            "service_user": user,
            "vnc": {"enabled": "false"},
        },
        "cinder": {
            "DEFAULT": {
                **default,
                "enabled_backends": "files",
                "default_volume_type": "standard",
                "api_paste_config": "cinder-paste.ini",
                "resource_query_filters_file": "resource_filters.json",
                "scheduler_driver_init_wait_time": 1,
                "glance_api_servers": urls.get("glance", ""),
                "rootwrap_config": "/dev/null",
                "volume_usage_audit_period": "year",
                "report_interval": 30,
                "service_down_time": 600,
            },
            "files": {"volume_driver": "volume_driver.Volumes", "volume_backend_name": "files"},
            "key_manager": {
                "backend": "cinder.keymgr.conf_key_mgr.ConfKeyManager",
                "fixed_key": "0" * 64,
            },
            "service_user": user,
            "nova": {**account, "interface": "internal"},
        },
    }
    return {**own[name], **{key: value for key, value in common.items() if key not in own[name]}}
