# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of the modules that fill a mirror."""

from __future__ import annotations


class ModuleDocFragment:
    """Where a mirror's content, catalogue and caches are."""

    DOCUMENTATION = r"""
options:
  catalogue_dir:
    description: Directory of the catalogue.
    type: path
    required: true
  build_dir:
    description: Directory of the modules that pin what is built, a go.mod and a go.sum each.
    type: path
    required: true
  data_dir:
    description: Directory of the mirror's content.
    type: path
    required: true
  cache_dir:
    description: Directory where built programs are kept by content.
    type: path
    required: true
  fill:
    description: Whether content is built from source or downloaded from upstream.
    type: str
    choices: [build, download]
    default: build
  go:
    description: The Go command.
    type: str
    default: go
  debian_suite:
    description: The Debian release that images stand on which need more than their program.
    type: str
    default: bookworm
  debian_sources:
    description: Further arguments of mmdebstrap that name where Debian's packages come from. Empty for its default.
    type: list
    elements: str
    default: []
  upstream_url_prefix:
    description: Stands before every upstream address without its scheme when downloading.
    type: str
    default: ""
  upstream_ca:
    description: File with the certificate authority for O(upstream_url_prefix). Empty for the machine's own list.
    type: str
    default: ""
"""
