# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program, installed as `caravan-certificates`.

    run     renew what has less than 30 % of its life left (the timer's)
    list    show the certificates of this host

Exit codes: 0 all is well, or was left for the next time; 1 something failed; 2 it could not even begin.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from pathlib import Path

from .._identity.crypto import HAS_CRYPTOGRAPHY
from .._kubeadm.errors import KubeadmError
from .._kubeadm.steps import locked
from . import config, listing, report
from .config import Config
from .errors import CertificateError
from .model import Certificate
from .renewal import Run

FAILED, UNUSABLE = 1, 2
# Seconds for which a kubeadm that is at work on this host is waited for.
_PATIENCE = 60
_ERROR, _WARNING = 3, 4


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="caravan-certificates", description="The certificates of this host.")
    parser.add_argument("--config", type=Path, default=config.FILE, help="the configuration")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("run", help="renew what is due")
    shown = verbs.add_parser("list", help="show the certificates")
    shown.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse_args(arguments)
    try:
        if not HAS_CRYPTOGRAPHY:
            raise CertificateError("Python's library cryptography is not installed (package python3-cryptography)")
        settings = config.load(given.config)
        if given.verb == "list":
            return _list(settings, given.json)
        return _run(settings)
    except (CertificateError, KubeadmError, OSError) as error:
        _complain(str(error), _ERROR)
        return UNUSABLE


def _run(settings: Config) -> int:
    # The playbook's modules take the same lock.
    with locked(_PATIENCE):
        result = Run(settings, _say).do()
        for certificate in result.certificates:
            if certificate.note:
                _complain(f"{certificate.name}: {certificate.note}; site.yml puts that right", _WARNING)
        for words in result.postponed:
            _complain(words, _WARNING)
        if result.error:
            _complain(result.error, _ERROR)
        if not (result.renewed or result.postponed or result.error):
            _say(_summary(result.certificates))
        report.write(settings, result, _now())
    return FAILED if result.error else 0


def _summary(certificates: list[Certificate]) -> str:
    ends = [(certificate.ends, certificate.name) for certificate in certificates if certificate.ends is not None]
    if not ends:
        return "there are no certificates here yet"
    end, name = min(ends)
    return f"nothing is due; {name} is the first of {len(ends)} to end, on {end:%Y-%m-%d}"


def _list(settings: Config, as_json: bool) -> int:
    now, found = _now(), listing.read(settings, _now())
    if as_json:
        print(json.dumps([_plain(certificate) for certificate in found], indent=1))
        return 0
    for certificate in found:
        ends = f"{certificate.ends:%Y-%m-%dT%H:%M:%SZ}" if certificate.ends else "unknown"
        facts = f"{certificate.name:<24} {ends:<20}  {certificate.left(now):4.0%} left  {certificate.renewed_by:<8}"
        print(f"{facts}  {certificate.reason or certificate.note}".rstrip())
    return 0


def _plain(certificate: Certificate) -> dict[str, str]:
    return {
        "name": certificate.name,
        "path": certificate.path,
        "ends": certificate.ends.isoformat() if certificate.ends else "",
        "renewed_by": certificate.renewed_by,
        "reason": certificate.reason,
        "note": certificate.note,
    }


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _say(text: str) -> None:
    print(text, flush=True)


def _complain(text: str, priority: int) -> None:
    # systemd's journal takes the number for the priority.
    print(f"<{priority}>{text}" if os.environ.get("JOURNAL_STREAM") else text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
