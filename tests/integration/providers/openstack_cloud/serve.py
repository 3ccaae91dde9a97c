# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One service of OpenStack in one process: `serve.py <service> <port>`, in the directory with its configuration.

Run by the services' own Python. Threads, no event loop; messages go through memory, so what belongs together (nova's
API, conductor, scheduler and hosts) is one process.
"""

from __future__ import annotations

import faulthandler
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Application = Callable[..., Any]
# Two hosts, so that there are two availability zones.
HOSTS = ("host1", "host2")


def keystone() -> Application:
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = "keystone.conf"
    from keystone.server.wsgi import initialize_public_application

    return initialize_public_application()


def placement() -> Application:
    os.environ["OS_PLACEMENT_CONFIG_DIR"] = str(Path.cwd())
    from placement.wsgi import init_application

    return init_application()


def glance() -> Application:
    os.environ["OS_GLANCE_CONFIG_DIR"] = str(Path.cwd())
    os.environ["OS_GLANCE_CONFIG_FILES"] = "glance-api.conf"
    from glance.common.wsgi_app import init_app

    return init_app()


def neutron() -> Application:
    sys.argv = ["neutron", "--config-file", "neutron.conf"]
    from neutron.wsgi.api import application

    return one_by_one(application)


def cinder() -> Application:
    os.environ["OS_CINDER_DISABLE_EVENTLET_PATCHING"] = "true"
    import cinder.cmd.volume  # noqa: F401, its options have to be known before the configuration is read
    from cinder import coordination, objects, rpc, service
    from cinder.common import config
    from oslo_config import cfg
    from oslo_log import log
    from oslo_service import wsgi

    objects.register_all()
    cfg.CONF(["--config-file", "cinder.conf"], project="cinder")
    log.setup(cfg.CONF, "cinder")
    config.set_middleware_defaults()
    coordination.COORDINATOR.start()
    rpc.init(cfg.CONF)
    service.Service.create(binary="cinder-scheduler").start()
    backend = {"host": "storage@files", "service_name": "files", "coordination": True, "cluster": None}
    service.Service.create(binary="cinder-volume", **backend).start()
    return wsgi.Loader(cfg.CONF).load_app(name="osapi_volume")


def nova() -> Application:
    os.environ["OS_NOVA_DISABLE_EVENTLET_PATCHING"] = "true"
    from nova import monkey_patch

    monkey_patch.patch(backend="threading")
    import nova.conf
    import nova.virt
    from nova import config, context, objects, service
    from nova.api.openstack import wsgi_app
    from nova.compute import rpcapi as compute
    from nova.conductor import rpcapi as conductor
    from nova.objects import host_mapping
    from nova.scheduler import rpcapi as scheduler
    from oslo_log import log
    from paste import deploy

    # Drivers are looked for in this package alone.
    nova.virt.__path__.append(str(Path(__file__).parent))
    options = nova.conf.CONF
    config.parse_args(["nova", "--config-file", "nova.conf"])
    log.setup(options, "nova")
    objects.register_all()
    service.Service.create(binary="nova-conductor", topic=conductor.RPC_TOPIC).start()
    for host in HOSTS:
        options.set_override("host", host)
        both = {"topic": compute.RPC_TOPIC, "topic_alt": compute.RPC_TOPIC_ALT}
        service.Service.create(host=host, binary="nova-compute", **both).start()
    host_mapping.discover_hosts(context.get_admin_context())
    service.Service.create(binary="nova-scheduler", topic=scheduler.RPC_TOPIC).start()
    wsgi_app._setup_service(options.host, "osapi_compute")
    return deploy.loadapp(f"config:{Path.cwd()}/nova-paste.ini", name="osapi_compute")


def wait_for_writers() -> None:
    """Transactions wait for each other where they begin. SQLite refuses one that reads first, and wants to write when
    another one has written meanwhile.
    """
    from sqlalchemy import Engine, event

    def executed(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> Any:
        return ("BEGIN IMMEDIATE" if statement == "BEGIN" else statement), parameters

    event.listen(Engine, "before_cursor_execute", executed, retval=True)


def one_by_one(application: Application) -> Application:
    """Neutron reads in one transaction what it has not yet written in another: these cannot wait for each other."""
    turn = threading.Lock()

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        with turn:
            return list(application(environ, start_response))

    return answer


def read(environ: dict[str, Any]) -> io.BytesIO:
    """The whole request: what an application leaves of it would be taken for the next one."""
    stream = environ["wsgi.input"]
    ends = environ.get("wsgi.input_terminated")
    return io.BytesIO(stream.read() if ends else stream.read(int(environ.get("CONTENT_LENGTH") or 0)))


def mounted(application: Application, prefix: str) -> Application:
    """Under a path of its own, and behind whatever stands in front: links in answers lead there again."""

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        environ["wsgi.input"] = read(environ)
        environ["wsgi.url_scheme"] = environ.pop("HTTP_X_FORWARDED_PROTO", "http")
        path = environ["PATH_INFO"]
        if path.startswith(prefix):
            environ["SCRIPT_NAME"], environ["PATH_INFO"] = prefix, path[len(prefix) :] or "/"
        return application(environ, start_response)

    return answer


def main(service: str, port: int, prefix: str) -> None:
    # Some of them read the command line.
    sys.argv = [service]
    if service != "neutron":
        wait_for_writers()
    application = mounted(globals()[service](), prefix)
    from serving import Lasting
    from werkzeug.serving import make_server

    # `kill -USR1` shows what its threads are doing, in <service>.out.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=Lasting)
    # It ends with whoever started it: that one holds the other end of this pipe.
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
