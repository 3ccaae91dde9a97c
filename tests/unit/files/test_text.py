# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.caravan.cluster.plugins.module_utils._files.text import replace_block

BLOCK = "# BEGIN a\nnew\n# END a\n"


@pytest.mark.parametrize(
    ("text", "content", "wanted"),
    [
        ("", "new", BLOCK),
        ("x\n", "new\n", "x\n" + BLOCK),
        ("x", "new", "x\n" + BLOCK),
        ("x\n# BEGIN a\nold\nolder\n# END a\ny\n", "new", "x\n" + BLOCK + "y\n"),
        ("x\n# BEGIN a\nold\n# END a\ny\n", "", "x\ny\n"),
        ("x\n", "", "x\n"),
    ],
)
def test_block(text: str, content: str, wanted: str) -> None:
    assert replace_block(text, "a", content) == wanted
    assert replace_block(wanted, "a", content) == wanted


@pytest.mark.parametrize("text", ["# BEGIN a\n", "# END a\n", "# END a\n# BEGIN a\n", BLOCK + BLOCK])
def test_broken_markers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="BEGIN a"):
        replace_block(text, "a", "new")
