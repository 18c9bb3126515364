"""Commits on their way. Goal: the owner believes what every reader of the log will believe, whatever is reported."""

from __future__ import annotations

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.records.changelog import LOG_RECORD, Bookmark, Chunk, RowChange
from headrace.worker.commits import Commit, Commits, cut
from headrace.worker.honour import Honour
from tests.worker.hand import HandAppender

CLAIM = 5
CHUNK_BYTES = 200


class Owner:
    """The commits of one claim, with the list of what it takes for honoured."""

    def __init__(self) -> None:
        self.appender = HandAppender()
        self.honoured: list[tuple[Commit, Bookmark]] = []
        self.reasons: list[str] = []
        self.commits = Commits(
            self.appender,
            "changelog",
            3,
            "topic-id",
            CLAIM,
            CHUNK_BYTES,
            lambda commit, bookmark: self.honoured.append((commit, bookmark)),
            self.reasons.append,
        )

    def append(self, rows: list[RowChange]) -> Commit:
        commit = Commit(rows, [], [], -1, -1, 0)
        self.commits.append(commit)
        return commit

    def report(self, index: int, offset: int, error: str | None = None) -> None:
        self.appender.appended[index].report(offset, error)


def large_rows(count: int) -> list[RowChange]:
    return [(b"%03d" % number, b"v" * 60) for number in range(count)]


def test_a_small_commit_is_one_record_and_its_offset_is_known_before_it_is_sent() -> None:
    owner = Owner()
    assert owner.commits.next_offset == CLAIM + 1
    commit = owner.append([(b"key", b"value"), (b"gone", None)])
    assert owner.commits.next_offset == CLAIM + 2
    (appended,) = owner.appender.appended
    assert LOG_RECORD.decode(appended.value) == Chunk(CLAIM, 1, 1, 0, True, [(b"key", b"value"), (b"gone", None)])
    assert owner.honoured == []
    owner.report(0, CLAIM + 1)
    assert owner.honoured == [(commit, Bookmark("topic-id", CLAIM + 2, CLAIM, 1, False, crc32(appended.value)))]


def test_a_large_commit_takes_effect_with_its_final_chunk() -> None:
    owner = Owner()
    rows = large_rows(7)
    owner.append(rows)
    chunks = [LOG_RECORD.decode(appended.value) for appended in owner.appender.appended]
    assert len(chunks) > 2
    assert [row for chunk in chunks if isinstance(chunk, Chunk) for row in chunk.rows] == rows
    assert [(c.k, c.chunk, c.final) for c in chunks if isinstance(c, Chunk)] == [
        (number + 1, number, number == len(chunks) - 1) for number in range(len(chunks))
    ]
    for number in range(len(chunks)):
        assert owner.honoured == []
        assert owner.commits.in_flight == 1
        owner.report(number, CLAIM + 1 + number)
    assert [bookmark.position for _, bookmark in owner.honoured] == [CLAIM + 1 + len(chunks)]


@pytest.mark.parametrize(
    ("offset", "error"), [(CLAIM + 2, None), (-1, None), (-1, "timed out"), (CLAIM + 1, "timed out"), (CLAIM, None)]
)
def test_an_append_that_did_not_land_at_its_place_ends_the_claim(offset: int, error: str | None) -> None:
    owner = Owner()
    owner.append([(b"a", b"1")])
    owner.append([(b"a", b"2")])
    owner.report(0, offset, error)
    assert len(owner.reasons) == 1
    owner.report(1, CLAIM + 2)
    assert owner.honoured == []
    assert len(owner.reasons) == 1
    assert owner.commits.unreported == 0


def test_nothing_is_believed_after_close() -> None:
    owner = Owner()
    owner.append([(b"a", b"1")])
    owner.commits.close()
    owner.report(0, CLAIM + 1)
    assert (owner.honoured, owner.reasons) == ([], [])
    assert owner.commits.unreported == 0


@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=8),
    st.lists(st.sampled_from(["land"] * 6 + ["lost", "unknown", "stranger", "claim", "no offset"]), max_size=60),
)
def test_owner_and_readers_agree_on_every_log(sizes: list[int], fates: list[str]) -> None:
    """Method: draw the fate of each append; read the log that comes of it by the rule, beside the owner's reports."""
    owner = Owner()
    for size in sizes:
        owner.append(large_rows(size))
    rule = Honour()
    rule.claimed(CLAIM)
    offset = CLAIM + 1
    read: list[int] = []
    for appended, fate in zip(owner.appender.appended, fates + ["land"] * 200, strict=False):
        if fate in ("stranger", "claim"):
            if fate == "stranger":
                rule.read(offset, None)
            else:
                rule.claimed(offset)
            offset += 1
        if fate != "lost":  # an error report does not mean that the record is not in the log
            record = LOG_RECORD.decode(appended.value)
            chunks = rule.read(offset, record)
            if chunks is not None:
                read.append(chunks[-1].commit)
            offset += 1
        if fate in ("lost", "unknown"):
            appended.report(-1, "timed out")
        else:
            appended.report(-1 if fate == "no offset" else offset - 1, None)
    believed = [int(LOG_RECORD.decode(owner.appender.appended[b.k - 1].value).commit) for _, b in owner.honoured]  # type: ignore[union-attr]
    # Readers may honour the one whose report was lost, and what came after it; the owner knows of no later one.
    assert believed == read[: len(believed)]
    assert len(owner.reasons) == (len(believed) < len(sizes))


@given(st.lists(st.tuples(st.binary(max_size=30), st.none() | st.binary(max_size=400)), max_size=30))
def test_cutting_keeps_every_row_in_order_and_bounds_all_but_single_rows(rows: list[RowChange]) -> None:
    chunks = cut(rows, 200)
    assert [row for chunk in chunks for row in chunk] == rows
    for chunk in chunks:
        assert len(chunk) <= 1 or sum(len(k) + len(v or b"") for k, v in chunk) <= 200
    assert all(chunks[1:])
