# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files with one or more certificates, as text. Pure, with the standard library only."""

from __future__ import annotations

import hashlib
import re
import ssl

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def certificates(text: str) -> list[str]:
    """The certificates of a bundle, in its order; each ends with a newline."""
    return [block + "\n" for block in _CERTIFICATE.findall(text)]


def fingerprint(certificate: str) -> str:
    """What tells certificates apart: the SHA-256 of the first one of a text."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificates(certificate)[0])).hexdigest()
