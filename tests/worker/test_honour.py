"""Which records of a changelog count. Goal: the rule is exactly what the declarative one below says, for every log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import StateCorrupted
from headrace.records.changelog import LOG_RECORD, Chunk, Claim
from headrace.worker.honour import Honour, parse_log_record

# What may stand on a log: a claim, a stranger's record (None), or (claim, k, final).
Word = str | None | tuple[int, int, bool]
OFFSETS = 14


def honoured_by_declaration(log: dict[int, Word]) -> dict[int, list[int]]:
    """Name the commits that count, by the offset of their last chunk, each with the offsets of its chunks.

    A record counts if a claim stands at some c below it, nothing is missing between, and every record from there to it
    carries that claim and the k which its place demands. No state is carried along.
    """
    counts = []
    for offset in log:
        claims = [o for o in log if o < offset and log[o] == "claim"]
        between = range(claims[-1] + 1, offset + 1) if claims else range(0)
        if claims and all(_fits(log.get(o), claims[-1], o - claims[-1]) for o in between):
            counts.append(offset)
    commits: dict[int, list[int]] = {}
    chunks: list[int] = []
    for offset in counts:
        word = log[offset]
        assert isinstance(word, tuple)
        if word[1] == 1 or log[offset - 1] == "claim":
            chunks = []
        chunks.append(offset)
        if word[2]:
            commits[offset] = chunks
            chunks = []
    return commits


def _fits(word: Word, claim: int, k: int) -> bool:
    return isinstance(word, tuple) and word[:2] == (claim, k)


def as_record(word: Word) -> Claim | Chunk | None:
    if word == "claim":
        return Claim("node", "uuid")
    if isinstance(word, tuple):
        return Chunk(word[0], word[1], 1, 0, word[2], [])
    return None


@st.composite
def logs(draw: st.DrawFn) -> dict[int, Word]:
    """A log in which most records are what their owner meant, some are late, foreign or gone."""
    log: dict[int, Word] = {}
    claim, k = -1, 0
    for offset in range(OFFSETS):
        kind = draw(st.sampled_from(["next"] * 8 + ["claim", "claim", "stranger", "hole", "late", "repeat"]))
        if kind == "claim":
            log[offset] = "claim"
            claim, k = offset, 0
        elif kind == "next":
            k += 1
            log[offset] = (claim, k, draw(st.booleans()))
        elif kind == "late":
            log[offset] = (draw(st.integers(-1, OFFSETS)), draw(st.integers(0, 5)), draw(st.booleans()))
        elif kind == "repeat" and k:
            log[offset] = (claim, k, draw(st.booleans()))
        elif kind == "stranger":
            log[offset] = None
    return log


@given(logs())
def test_the_rule_is_the_declared_one(log: dict[int, Word]) -> None:
    rule = Honour()
    found: dict[int, list[int]] = {}
    for offset, word in log.items():
        chunks = rule.read(offset, as_record(word))
        if chunks is not None:
            found[offset] = [chunk.claim + chunk.k for chunk in chunks]
    assert found == honoured_by_declaration(log)


@given(logs(), st.integers(0, OFFSETS))
def test_a_reader_that_starts_between_commits_with_the_claim_in_force_agrees(log: dict[int, Word], at: int) -> None:
    rule = Honour()
    whole = {}
    resumed: Honour | None = None
    later = {}
    for offset, word in log.items():
        if resumed is None and offset >= at and rule.between_commits:
            resumed = Honour(rule.claim, rule.k, rule.dead)
        whole[offset] = rule.read(offset, as_record(word)) is not None
        if resumed is not None:
            later[offset] = resumed.read(offset, as_record(word)) is not None
    assert later == {offset: whole[offset] for offset in later}


def test_a_claim_empties_the_chunks_before_it() -> None:
    rule = Honour()
    rule.claimed(0)
    assert rule.read(1, Chunk(0, 1, 1, 0, False, [(b"a", b"old")])) is None
    rule.read(2, Claim("other", "uuid"))
    chunks = rule.read(3, Chunk(2, 1, 1, 0, True, [(b"a", b"new")]))
    assert chunks is not None
    assert [chunk.rows for chunk in chunks] == [[(b"a", b"new")]]


def test_nothing_counts_before_the_first_claim() -> None:
    assert Honour().read(0, Chunk(-1, 1, 1, 0, True, [])) is None


def test_a_missing_record_kills_the_claim_for_good() -> None:
    rule = Honour()
    rule.claimed(0)
    assert rule.follows(0, 1, 1)
    assert not rule.follows(0, 3, 3)
    assert not rule.follows(0, 2, 2)
    rule.claimed(4)
    assert rule.follows(4, 1, 5)


@pytest.mark.parametrize("value", [None, b"", b"hello", b"\x01", b"\x01\xff\xff", b"\x7f1"])
def test_what_headrace_did_not_write_is_a_strangers(value: bytes | None) -> None:
    assert parse_log_record(value) is None


def test_a_newer_format_is_refused_and_not_taken_for_a_strangers() -> None:
    with pytest.raises(StateCorrupted, match="format version 2"):
        parse_log_record(b"\x02" + LOG_RECORD.encode(Claim("node", "uuid"))[1:])


def test_records_read_back_as_they_were_written() -> None:
    for record in (Claim("node", "uuid"), Chunk(7, 3, 2, 1, True, [(b"k", b"v"), (b"gone", None)], 5, 2)):
        assert parse_log_record(LOG_RECORD.encode(record)) == record
