# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A provider's stand-in with real machines behind it.

The API is that of the tests in tests/integration/providers: moto, or our own resource manager. What it holds is
followed: each machine of the API is a node container, which boots with the user data of the API and has the address
that the API reports; each load balancer is an haproxy, and each DNS record is served.
"""
