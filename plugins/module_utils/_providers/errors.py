# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can go wrong, each as one exception that says what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """A mistake of the description, or a limit of the provider.

    subject: what it is about (`pool worker`, `credentials`); seen and wanted: clauses of one sentence;
    change: the variable (or what else) that has to be changed.
    """

    subject: str
    seen: str
    wanted: str
    change: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.seen}; wanted {self.wanted}; change {self.change}"


class ProviderError(Exception):
    """Nothing a retry would mend. The text names the resource and what the provider answered."""


class InvalidError(ProviderError):
    """The description cannot be carried out. Raised before anything is changed, with every problem there is."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__(
            "\n".join([f"{count} found. Nothing was changed.", *(f"  {problem}" for problem in self.problems)])
        )


class TransientError(Exception):
    """Throttled, in use by an operation that is under way, or not visible yet: the same call may succeed later.

    Only the executor catches it. When its patience is over, it becomes a ProviderError.
    """


class RefusedError(ProviderError):
    """A plan that is not carried out: consent is missing, or the world is not the one that was approved."""
