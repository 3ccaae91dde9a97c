# Copyright: Caravan contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks count with must itself be right."""

from __future__ import annotations

import math

import pytest
from bench.figures import replaced, table
from bench.latency import latency, percentile, within
from bench.objects import KINDS, SIZES, planned
from bench.tracing import PHASES, Call, phases


@pytest.mark.parametrize(("share", "wanted"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)])
def test_percentile(share: float, wanted: int) -> None:
    assert percentile(list(range(1, 101)), share) == wanted


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(latency([]).p99)


def test_refused_writes_are_counted_and_have_no_latency() -> None:
    found = latency([(0.0, 0.002), (1.0, -1.0), (2.0, 0.004)])
    assert (found.writes, found.refused, found.p50, found.longest) == (3, 1, 2.0, 4.0)


def test_samples_belong_to_the_window_in_which_they_were_due() -> None:
    samples = [(1.0, 9.0), (2.0, 0.1), (3.0, 0.1), (7.0, 0.1)]
    assert within(samples, [(1.0, 3.0), (6.0, 8.0)]) == [(1.0, 9.0), (2.0, 0.1), (7.0, 0.1)]


def call(program: str, verb: str, begin: float, end: float) -> Call:
    return Call(program, verb, begin, end, 0.0)


BACKUP = [
    call("rclone", "lsjson", 0.1, 0.5),
    call("rclone", "cat", 0.5, 0.9),
    call("etcdctl", "snapshot", 1.0, 3.0),
    call("etcdutl", "snapshot", 3.0, 4.0),
    call("zstd", "--quiet", 4.5, 6.0),
    call("age", "--encrypt", 4.5, 6.1),
    call("rclone", "copyto", 6.5, 7.5),
    call("rclone", "cat", 7.5, 8.0),
    call("rclone", "copyto", 8.0, 8.2),
    call("rclone", "cat", 8.2, 8.4),
]


def test_the_phases_of_a_backup_are_the_whole_of_it() -> None:
    found = phases(BACKUP, 0.0, 8.5)
    seconds = {name: round(end - begin, 1) for name, (begin, end) in found.items()}
    assert seconds == dict(zip(PHASES, (1.0, 2.0, 1.0, 0.5, 1.6, 0.4, 1.0, 0.5, 0.5)))


def test_a_backup_without_a_snapshot_has_no_phases() -> None:
    with pytest.raises(ValueError, match="etcdctl snapshot did not run"):
        phases([each for each in BACKUP if each.program != "etcdctl"], 0.0, 8.5)


def test_figures_replace_their_own_section_only() -> None:
    document = "a\n<!-- one: begin -->\nold\n<!-- one: end -->\n<!-- two: begin -->\nkept\n<!-- two: end -->\n"
    assert replaced(document, "one", "new") == document.replace("old", "new")
    with pytest.raises(ValueError):
        replaced(document, "three", "new")


def test_a_table_has_words_first() -> None:
    assert table(["what", "s"], [["it", "1"]]) == ["| what | s |", "|---|---:|", "| it | 1 |"]


def test_objects_are_planned_until_the_size_is_reached() -> None:
    first = list(planned(0, 2 * sum(SIZES)))
    assert sum(one.bytes for one in first) == 2 * sum(SIZES)
    assert {(one.kind, one.bytes) for one in first} == {(kind, size) for kind in KINDS for size in SIZES}
    more = list(planned(len(first), 1))
    assert [one.number for one in more] == [len(first)]
    assert list(planned(7, 0)) == []


def test_the_data_of_an_object_follow_from_its_number() -> None:
    one, same, other = (next(planned(number, 1)) for number in (5, 5, 7))
    assert one.body() == same.body()
    assert one.data() != other.data()
    assert abs(len(one.data()) - one.bytes) <= 4
