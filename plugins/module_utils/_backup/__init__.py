# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of a cluster: what they are called, what is said of them, how they are sealed, stored, judged and restored.

Only the standard library and only imports within this package: the package is also copied to hosts, where its program
(`python3 -m caravan_backup`) runs without Ansible. Python 3.9 and later.
"""
