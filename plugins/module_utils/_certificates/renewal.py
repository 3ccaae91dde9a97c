# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run on one host: what has expired at once, what is due when the cluster is well and no other host is at it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .._etcd.client import Gateway
from .._etcd.model import EtcdError
from .._identity.catalogue import ETCD, KUBERNETES_PKI
from .._kubeadm.errors import KubeadmError
from . import commands, guard, leaves, listing
from .config import Config
from .errors import CertificateError
from .kubernetes import Kubernetes
from .lock import Lock
from .model import Certificate, plan

Say = Callable[[str], None]


@dataclass
class Result:
    """`renewed`: why, by name. `postponed`: what was due and was left, and why. `error`: what went wrong."""

    certificates: list[Certificate] = field(default_factory=list)
    renewed: dict[str, str] = field(default_factory=dict)
    postponed: list[str] = field(default_factory=list)
    error: str = ""


class Run:
    """`say` is given what was done, in plain words."""

    # Seconds. Machines that were switched on together are not up together.
    quorum_patience = 1200.0

    def __init__(self, config: Config, say: Say) -> None:
        self.config = config
        self.say = say
        self.result = Result()
        self.kubernetes = Kubernetes(
            commands.run,
            {
                "config": config.kubeadm,
                "node_name": config.node,
                "node_address": config.site.address,
                "port": config.api_port,
                "api_timeout": config.timeout,
            },
        )

    def do(self) -> Result:
        """Never raises what is expected to go wrong: that is in the result."""
        try:
            self._do()
        except (CertificateError, EtcdError, KubeadmError, OSError, ValueError) as error:
            self.result.error = str(error)
        try:
            self.result.certificates = self._look()
        except (CertificateError, OSError, ValueError) as error:
            self.result.error = self.result.error or str(error)
        return self.result

    def _do(self) -> None:
        todo = plan(self._look())
        if todo.elsewhere:
            self.result.postponed.append(
                f"{', '.join(todo.elsewhere)}: due, and this host does not hold etcd's authority; "
                "run the playbook caravan.cluster.renew_certificates"
            )
        if todo.at_once:
            self._renew_expired(todo.at_once)
        if todo.with_leave:
            self._renew_due(todo.with_leave)

    def _renew_expired(self, names: Sequence[str]) -> None:
        """It serves nobody as it is: neither other hosts nor the lock are waited for, which may not be there either."""
        for name in names:
            if name in self._leaves():
                self._renew(name)
        rest = [name for name in names if name not in self.result.renewed]
        if rest:
            # API servers do not come up without it; the other hosts may be at the same work.
            trouble = guard.settled(self._quorum_trouble, self.quorum_patience)
            if trouble:
                raise CertificateError(f"not renewed yet: {', '.join(rest)}. {'; '.join(trouble)}")
        failed = []
        for name in rest:
            # One that does not come back is no reason to leave the others as they are.
            try:
                self._renew(name)
            except CertificateError as error:
                failed.append(str(error))
        if failed:
            raise CertificateError("; ".join(failed))

    def _renew_due(self, names: Sequence[str]) -> None:
        trouble = guard.settled(self._trouble, self.config.patience)
        if trouble:
            self._postpone(names, f"the cluster is not well: {'; '.join(trouble)}")
            return
        lock = Lock(self._gateway(), self.config.node)
        holder = lock.take()
        if holder:
            self._postpone(names, f"{holder} is at it")
            return
        try:
            for name in names:
                self._renew(name)
                trouble = guard.settled(self._trouble, self.config.timeout)
                if trouble:
                    raise CertificateError(f"after {name} was renewed, the cluster is not well: {'; '.join(trouble)}")
                if lock.lost():
                    raise CertificateError(lock.lost())
        finally:
            lock.release()

    def _postpone(self, names: Sequence[str], why: str) -> None:
        self.result.postponed.append(f"{', '.join(names)}: left for the next time, {why}")

    def _renew(self, name: str) -> None:
        """Renew one certificate, and see what uses it well."""
        seen = {certificate.name: certificate for certificate in self._look()}[name]
        leaf = self._leaves().get(name)
        try:
            if leaf is not None:
                self._renew_leaf(leaf, seen.expired)
            else:
                self.kubernetes.renew_by_name(name, self.config.user_hours)
        except KubeadmError as error:
            raise CertificateError(f"{name}: {error}") from error
        self.result.renewed[name] = seen.reason
        self.say(f"renewed {name}: {seen.reason}")

    def _renew_leaf(self, leaf: leaves.Leaf, expired: bool) -> None:
        leaves.renew(leaf, self.config.site, _now())
        if not expired:
            trouble = guard.settled(lambda: _listed(leaves.in_use(leaf, self.config.site)), self.config.timeout)
            if trouble:
                raise CertificateError(f"{leaf.file.certificate} is not in use: {trouble[0]}")

    def _look(self) -> list[Certificate]:
        return listing.read(self.config, _now())

    def _leaves(self) -> dict[str, leaves.Leaf]:
        found = leaves.on_host(self.config.parts, self.config.site, _now())
        return {listing.leaf_name(leaf): leaf for leaf in found}

    def _gateway(self) -> Gateway:
        if ETCD in self.config.parts:
            return leaves.gateway(self.config.site, self.config.members)
        client = f"{KUBERNETES_PKI}/apiserver-etcd-client"
        return leaves.gateway(self.config.site, self.config.members, f"{client}.crt", f"{client}.key")

    def _quorum_trouble(self) -> list[str]:
        gateway = self._gateway()
        return [] if gateway.cluster() is not None else [f"etcd: {gateway.no_quorum()}"]

    def _trouble(self) -> list[str]:
        return guard.etcd_trouble(self._gateway()) + guard.api_trouble(self.config.api_servers, self.config.api_port)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _listed(text: str | None) -> list[str]:
    return [] if text is None else [text]
