# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kubeadm made on a control-plane host, renewed one by one with the component that uses it."""

from __future__ import annotations

from pathlib import Path

from .._kubeadm import certificates as kubeadm
from .._kubeadm.user_file import UserFile
from .listing import APPROVER, APPROVER_PATH, KUBELET_CLIENT

APPROVER_USER = "caravan:csr-approver"
APPROVER_UNIT = "caravan-csr-approver.service"


class Kubernetes(kubeadm.Renewal, UserFile):
    """The same steps as the modules take, chosen by the certificate's name."""

    def renew_by_name(self, name: str, user_hours: int) -> None:
        """Renew one certificate, and see what uses it well."""
        if name == KUBELET_CLIENT:
            self.certify_kubelet()
        elif name == APPROVER:
            self.write_user_file(APPROVER_USER, Path(APPROVER_PATH), user_hours)
            self.command(["systemctl", "try-restart", APPROVER_UNIT], "restarting the approver")
        else:
            self.renew_one(next(kind for kind in kubeadm.KUBEADM_MAKES if kind.name == name))
