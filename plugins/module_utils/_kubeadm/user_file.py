# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write a kubeconfig with a client certificate of its own."""

from __future__ import annotations

from pathlib import Path

from .steps import KUBEADM, Steps, write_file


class UserFile(Steps):
    """Makes the certificate with kubeadm, which signs it with the authority on this host."""

    def write_user_file(self, name: str, path: Path, hours: int) -> None:
        """Replace the kubeconfig at `path`, 0600, with one of the user `name`."""
        argv = [KUBEADM, "kubeconfig", "user", "--client-name", name, "--config", self.params["config"]]
        write_file(path, self.command([*argv, "--validity-period", f"{hours}h"], f"making a certificate for {name}"))
