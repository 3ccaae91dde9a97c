# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx: the guides, with the pages of roles, modules and plugins that antsibull-docs generates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent

project = "caravan.cluster"
copyright = "Caravan contributors"
title = "Caravan"
html_short_title = "Caravan"
extensions = ["sphinx_antsibull_ext", "myst_parser"]
pygments_style = "ansible"
# Of blocks that name no language: output and commands. Those of the generated pages name theirs.
highlight_language = "text"
# Headings can be linked to, as a forge's own view of the guides has it.
myst_heading_anchors = 3
html_theme = "sphinx_ansible_theme"
html_show_sphinx = False
html_theme_options = {"display_version": False}
# Other collections' pages are not part of this build; a build needs no network.
suppress_warnings = ["ref.ref"]

# Where the guides point to files that are no pages, such as an example inventory.
_FILE_LINK = re.compile(r"\]\(\.\./(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_SOURCES = "https://github.com/caravan-cluster/caravan/blob/main"


def link_sources(_app: Any, page: str, content: list[str]) -> None:
    """Turn a guide's links to other files of the repository into links to its sources. A file has to be there."""

    def address(match: re.Match[str]) -> str:
        if not (REPOSITORY / match["path"]).exists():
            raise FileNotFoundError(f"{page}: there is no {match['path']} to link to")
        return f"]({_SOURCES}/{match['path']}{match['anchor'] or ''})"

    if page.startswith("guides/"):
        content[0] = _FILE_LINK.sub(address, content[0])


def setup(app: Any) -> None:
    """Register with Sphinx."""
    app.connect("source-read", link_sources)
