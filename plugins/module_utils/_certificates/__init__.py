# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificates of a host of the groups etcd and control_plane, renewed by the host itself.

Copied to hosts, with the packages beside it that it uses, and run there without Ansible: imports are relative, and of
what is not in Python's standard library only `cryptography` is wanted. Python 3.9 and later.
"""
