# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx: the collection's guides, with the pages of its roles, modules and playbooks that antsibull-docs generates."""

project = "caravan.cluster"
copyright = "Caravan contributors"
title = "Caravan"
html_short_title = "Caravan"
extensions = ["sphinx_antsibull_ext"]
pygments_style = "ansible"
highlight_language = "YAML+Jinja"
html_theme = "sphinx_ansible_theme"
html_show_sphinx = False
html_theme_options = {"display_version": False}
# Other collections' pages are not part of this build; a build needs no network.
suppress_warnings = ["ref.ref"]
