# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry out the planner's steps on this host. The thin, effectful edge."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import api, config, observe, planner, systemd, tokens
from .errors import KubeadmError

KUBEADM = "/usr/local/bin/kubeadm"
KUBE_PROXY_CONFIG = "/api/v1/namespaces/kube-system/configmaps/kube-proxy"
KUBE_PROXY_PODS = "/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy"
# Memory, not a disk.
RUN = "/run"
LOCK_NAME = "caravan-kubeadm.lock"

# What kubeadm makes itself and makes again when it is missing. CAs, the service-account key and the client certificate
# for etcd are the cluster's identity and are never touched.
LEAF_FILES = (
    "admin.conf",
    "super-admin.conf",
    "controller-manager.conf",
    "scheduler.conf",
    "kubelet.conf",
    "bootstrap-kubelet.conf",
    "pki/apiserver.crt",
    "pki/apiserver.key",
    "pki/apiserver-kubelet-client.crt",
    "pki/apiserver-kubelet-client.key",
    "pki/front-proxy-client.crt",
    "pki/front-proxy-client.key",
)


def write_file(path: Path, content: str, mode: int = 0o600) -> None:
    """Replace a file in one step; whoever is interrupted leaves the old or the new one, never a part."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=str(path.parent), prefix=".caravan-")
    with os.fdopen(descriptor, "w") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    Path(temporary).chmod(mode)
    Path(temporary).replace(path)


@contextlib.contextmanager
def locked(timeout: float) -> Iterator[None]:
    """Hold the one lock of this host, so that the kubeadm of a run that was cut off is waited for, not raced."""
    deadline = time.monotonic() + timeout
    lock = Path(RUN, LOCK_NAME)
    with lock.open("w") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise KubeadmError(
                        f"Another run of kubeadm has held {lock} for {timeout} s. See: fuser -v {lock}"
                    ) from None
                time.sleep(0.3)
        for leftover in Path(RUN).glob("caravan-kubeadm-*"):
            leftover.unlink()
        yield


def redact(text: str, secrets: list[str]) -> str:
    """Return `text` without the secrets. Pure."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "********")
    return text


def is_config_map(manifest: str) -> bool:
    """Say whether a YAML document is a ConfigMap, without a YAML library. Pure."""
    return re.search(r"^kind: ConfigMap$", manifest, re.MULTILINE) is not None


_COLOUR = re.compile("\x1b\\[[0-9;]*m")


def readable(text: str) -> list[str]:
    """Return the lines of kubeadm's output that a reader needs: no colours, no kernel options in order. Pure."""
    lines = (_COLOUR.sub("", line).rstrip() for line in text.splitlines())
    return [line for line in lines if line and not re.match(r"(CONFIG|CGROUPS)_\w+: |OS: |KERNEL_VERSION: ", line)]


class Steps:
    """The steps of init, join and reconcile; `run` is AnsibleModule.run_command."""

    def __init__(self, run: systemd.Run, params: dict[str, Any]) -> None:
        self.run = run
        self.params = params

    def perform(self, steps: list[str]) -> None:
        """Carry the named steps out, in order."""
        for step in steps:
            getattr(self, step)()

    def command(self, argv: list[str], what: str) -> str:
        """Run a command; its failure carries the last lines it printed, without secrets."""
        code, out, err = self.run(argv, path_prefix="/usr/local/bin", environ_update={"LC_ALL": "C"})
        if code != 0:
            lines = readable(out + "\n" + err)
            if argv[0] == KUBEADM:
                lines = lines[-20:] + self.kubelet_says()
            tail = redact("\n".join(lines[-25:]), [str(self.params.get("token") or "")])
            raise KubeadmError(f"{what} failed ({' '.join(argv[:3])}, rc {code}):\n{tail}")
        return str(out)

    def kubelet_says(self) -> list[str]:
        """Return the last errors of the kubelet, which is what a failed kubeadm mostly is about."""
        _code, out, _err = self.run(["journalctl", "--unit=kubelet.service", "--lines=200", "--output=cat"])
        errors = [line[:400] for line in out.splitlines() if re.match(r"[EF]\d{4} ", line)]
        return ["The kubelet's last errors:", *errors[-4:]] if errors else []

    def note_start(self, action: str) -> None:
        """Record that kubeadm begins, and let the kubelet start at boot from now on."""
        write_file(observe.started_path(), json.dumps({"action": action}))
        self.command(["systemctl", "daemon-reload"], "reading the unit files")
        self.command(["systemctl", "enable", "kubelet.service"], "enabling the kubelet")

    def clear_leaves(self) -> None:
        """Remove what an interrupted kubeadm may have written by half. It makes all of it again."""
        self.command(["systemctl", "stop", "kubelet.service"], "stopping the kubelet")
        for name in LEAF_FILES:
            with contextlib.suppress(FileNotFoundError):
                Path(observe.KUBERNETES, name).unlink()
        for path in Path(observe.KUBELET, "pki").glob("*"):
            path.unlink()

    def reset(self) -> None:
        """Undo an interrupted join of a worker, which holds nothing but that join."""
        self.command(
            [KUBEADM, "reset", "--force", "--cri-socket", self.params["cri_socket"]], "clearing the interrupted join"
        )

    def kubeadm_init(self) -> None:
        """Run kubeadm init, from the start or over what an earlier one left."""
        state = observe.local(self.run, True, [])
        ignored = planner.ignored_errors(
            self.params["ignore_preflight_errors"], self.params["port"], bool(state["started"]) or state["partial"]
        )
        self.note_start("init")
        self.command(
            [
                KUBEADM,
                "init",
                "--config",
                self.params["config"],
                "--skip-token-print",
                "--ignore-preflight-errors",
                ",".join(ignored),
            ],
            "kubeadm init",
        )

    def kubeadm_join(self) -> None:
        """Run kubeadm join; the token is in memory-backed files only, and gone afterwards."""
        state = observe.local(self.run, self.params["control_plane"], [])
        ignored = planner.ignored_errors(
            self.params["ignore_preflight_errors"], self.params["port"], bool(state["started"]) or state["partial"]
        )
        self.note_start("join")
        server = f"https://{self.params['endpoint']}:{self.params['port']}"
        discovery = config.discovery_kubeconfig(server, self.params["ca_pem"], self.params["token"])
        with memory_file(json.dumps(discovery)) as discovery_path:
            document = config.join_configuration(self.params, discovery_path, ignored)
            with memory_file(json.dumps(document)) as config_path:
                self.command([KUBEADM, "join", "--config", config_path], "kubeadm join")

    def remove_tokens(self) -> None:
        """Remove the token kubeadm init made; each join gets its own."""
        tokens.remove_all(self.client())

    def remove_super_admin(self) -> None:
        """Remove the kubeconfig that no authorisation rule can stop."""
        with contextlib.suppress(FileNotFoundError):
            Path(observe.KUBERNETES, "super-admin.conf").unlink()

    def wait_api(self) -> None:
        """Wait until this host's own API server serves."""
        healthy, seen = observe.wait_ready(
            self.params["node_address"], self.params["port"], float(self.params["api_timeout"])
        )
        if not healthy:
            raise KubeadmError(
                f"The API server on {self.params['node_address']}:{self.params['port']} was not ready "
                f"within {self.params['api_timeout']} s; seen last: {seen}"
            )

    def mark(self) -> None:
        """Record that this host is a complete part of the cluster."""
        # It holds the token; kubeadm removes it itself when it is not interrupted.
        with contextlib.suppress(FileNotFoundError):
            Path(observe.KUBERNETES, "bootstrap-kubelet.conf").unlink()
        if self.params["control_plane"]:
            self.remove_super_admin()
            self.record_applied()
        write_file(observe.marker_path(), json.dumps(self.params["cluster"], sort_keys=True) + "\n", 0o644)
        with contextlib.suppress(FileNotFoundError):
            observe.started_path().unlink()

    def record_applied(self) -> None:
        """Record from which inputs the static pods on this host were made."""
        applied = {
            "inputs": observe.sha256_of(self.params["config_files"]),
            "manifests": observe.manifests(),
            "cert_sans": self.params["cert_sans"],
        }
        write_file(observe.applied_path(), json.dumps(applied, sort_keys=True) + "\n")

    def client(self) -> api.Api:
        """Return an administrator's client of this host's own API server."""
        return api.from_kubeconfig(observe.KUBERNETES + "/admin.conf", self.params["node_address"], self.params["port"])

    # Day 2

    def restart_kubelet(self) -> None:
        """Restart the kubelet with its new configuration and see it healthy."""
        self.command(["systemctl", "daemon-reload"], "reading the unit files")
        self.command(["systemctl", "enable", "kubelet.service"], "enabling the kubelet")
        self.command(["systemctl", "restart", "kubelet.service"], "restarting the kubelet")
        self.wait_for("the kubelet", self.kubelet_healthy)

    def kubelet_healthy(self) -> str | None:
        """Return None when the kubelet serves and stays up, else what is wrong."""
        unit = systemd.unit(self.run, "kubelet.service", [])
        if not unit["active"]:
            return "kubelet.service is not active (journalctl -u kubelet)"
        return plain_http_ok("127.0.0.1", 10248, "/healthz")

    def render_control_plane(self) -> None:
        """Make the static pods again from the configuration on disk, and see each changed one run and serve."""
        before = observe.manifests()
        applied = observe.read_json(observe.applied_path())
        # Not for a host whose record is from before names were recorded.
        if applied.get("cert_sans") not in (None, self.params["cert_sans"]):
            for name in ("pki/apiserver.crt", "pki/apiserver.key"):
                with contextlib.suppress(FileNotFoundError):
                    Path(observe.KUBERNETES, name).unlink()
            self.kubeadm_phase("certs", "apiserver")
        began = time.time()
        self.kubeadm_phase("control-plane", "all")
        after = observe.manifests()
        changed = [name for name in after if after[name] != before.get(name)]
        for name in changed:
            self.wait_for(name, lambda name=name: self.component_healthy(name, began))
        self.wait_api()
        self.kubeadm_phase("upload-config", "all")
        self.apply_kube_proxy()
        self.record_applied()

    def kubeadm_phase(self, *phase: str) -> None:
        """Run one phase of kubeadm init."""
        argv = [KUBEADM, "init", "phase", *phase, "--config", self.params["config"]]
        self.command(argv, "kubeadm init phase " + " ".join(phase))

    def apply_kube_proxy(self) -> None:
        """Apply kube-proxy's configuration; its pods read it when they start, so a change starts them anew, rolling."""
        argv = [KUBEADM, "init", "phase", "addon", "kube-proxy", "--config", self.params["config"], "--print-manifest"]
        printed = self.command(argv, "kubeadm init phase addon kube-proxy --print-manifest")
        documents = [text for text in re.split(r"^---$", printed, flags=re.MULTILINE) if is_config_map(text)]
        if not documents:
            raise KubeadmError("kubeadm printed no ConfigMap of kube-proxy")
        client = self.client()
        before = (client.get_or_none(KUBE_PROXY_CONFIG) or {}).get("data")
        query = f"fieldManager={api.FIELD_MANAGER}&force=true"
        after = client.request("PATCH", KUBE_PROXY_CONFIG, documents[0], api.APPLY_PATCH, query)["data"]
        if after != before:
            digest = hashlib.sha256(json.dumps(after, sort_keys=True).encode()).hexdigest()
            template = {"metadata": {"annotations": {"caravan.cluster/config": digest}}}
            client.request("PATCH", KUBE_PROXY_PODS, {"spec": {"template": template}}, api.MERGE_PATCH)

    def component_healthy(self, name: str, began: float) -> str | None:
        """Return None when a component was started after `began` and serves, else what is wrong."""
        started = [systemd.start_time(pid) or 0.0 for pid in systemd.processes(name)]
        if not any(at > began - 1.0 for at in started):
            return "the kubelet has not started the new pod yet (crictl ps -a)"
        if name == "kube-apiserver":
            healthy, seen = api.ready(self.params["node_address"], self.params["port"], observe.ca_pem())
            return None if healthy else seen
        port = {"kube-controller-manager": 10257, "kube-scheduler": 10259}[name]
        return tls_path_ok("127.0.0.1", port, "/healthz")

    def wait_for(self, what: str, check: Any) -> None:
        """Poll `check` until it returns None; the time-out says what was seen last."""
        deadline = time.monotonic() + float(self.params["api_timeout"])
        while True:
            seen = check()
            if seen is None:
                return
            if time.monotonic() >= deadline:
                raise KubeadmError(f"{what} was not healthy within {self.params['api_timeout']} s; seen last: {seen}")
            time.sleep(0.3)


@contextlib.contextmanager
def memory_file(content: str) -> Iterator[str]:
    """Give `content` as a 0600 file on tmpfs; the name lets the next run remove what a killed one left."""
    descriptor, path = tempfile.mkstemp(prefix="caravan-kubeadm-", dir=RUN)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(content)
        yield path
    finally:
        Path(path).unlink()


def plain_http_ok(address: str, port: int, path: str) -> str | None:
    """Return None when a plain HTTP path answers 200, else what was seen."""
    import http.client

    connection = http.client.HTTPConnection(address, port, timeout=2)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
        return None if status == 200 else f"{path} answered {status}"
    except OSError as error:
        return str(error)
    finally:
        connection.close()


def tls_path_ok(address: str, port: int, path: str) -> str | None:
    """Return None when an HTTPS path on the loopback, with a self-made certificate, answers 200."""
    import http.client
    import ssl

    # The component makes its own certificate at every start, in memory: there is nothing to check it against.
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection(address, port, context=context, timeout=2)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
        return None if status == 200 else f"{path} answered {status}"
    except (OSError, http.client.HTTPException) as error:
        return str(error)
    finally:
        connection.close()
