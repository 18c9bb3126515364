"""The four rules, each alone and all together."""

from __future__ import annotations

import pytest

from examples.resumes.app import PER_ACCOUNT, PER_MINUTE, Resume, app, read
from headrace.errors import BadRequest
from headrace.testing import TestApp

ADA = "Ada Lovelace, London. ada@example.com. 12 years of weaving, some Python."


def upload(t: TestApp, account: str, number: int, plan: str = "free") -> str:
    text = f"Name {number}, {number}@{account}.example.com"
    return t.send("resume/uploaded", {"account": account, "text": text, "plan": plan})


def test_a_resume_is_parsed() -> None:
    with app.test() as t:
        t.send("resume/uploaded", {"account": "acme", "text": ADA})
        assert t.run_of("parse").output == {"account": "acme", "name": "Ada Lovelace", "skills": ["Python", "weaving"]}
        assert [event.data["name"] for event in t.events("resume/parsed")] == ["Ada Lovelace"]


def test_the_same_resume_is_parsed_once_for_each_account() -> None:
    with app.test() as t:
        first = t.send("resume/uploaded", {"account": "acme", "text": ADA})
        again = t.send("resume/uploaded", {"account": "acme", "text": ADA})
        t.send("resume/uploaded", {"account": "other", "text": ADA})
        assert [run.output["account"] for run in t.runs_of("parse")] == ["acme", "other"]
        assert t.verdicts(first) == []
        assert [verdict.code for verdict in t.verdicts(again)] == ["idempotency_key_repeated"]


def test_no_more_than_the_model_takes_and_none_is_lost() -> None:
    with app.test() as t:
        for number in range(3 * PER_MINUTE):
            upload(t, f"account-{number}", number)
        assert len(t.runs_of("parse")) == PER_MINUTE
        t.crash()
        t.advance("1m")
        assert len(t.runs_of("parse")) == 2 * PER_MINUTE
        t.advance("1m")
        assert {run.status for run in t.runs_of("parse")} == {"Completed"}
        assert len(t.runs_of("parse")) == 3 * PER_MINUTE


def test_who_pays_goes_first() -> None:
    with app.test() as t:
        for number in range(30):
            upload(t, "free", number) if number < 20 else upload(t, "payer", number, "pro")
        t.advance("1m")
        accounts = [run.output["account"] for run in t.runs_of("parse")]
        assert accounts == ["free"] * PER_MINUTE + ["payer"] * PER_MINUTE


def test_an_account_that_takes_too_much_is_told_and_holds_up_nobody() -> None:
    with app.test() as t:
        events = [upload(t, "greedy", number) for number in range(PER_ACCOUNT + 5)]
        modest = upload(t, "modest", 0)
        refused = [event for event in events if any(v.code == "rate_limited" for v in t.verdicts(event))]
        assert refused == events[PER_ACCOUNT:]
        assert [verdict.code for verdict in t.verdicts(modest)] == ["held_throttled"]
        t.advance("5m")
        assert len(t.runs_of("parse")) == PER_ACCOUNT + 1


def test_what_does_not_fit_is_refused_where_it_is_sent() -> None:
    with app.test() as t, pytest.raises(BadRequest, match="account"):
        t.send("resume/uploaded", {"text": ADA})


def test_what_cannot_be_read_fails_at_once() -> None:
    with app.test() as t:
        t.send("resume/uploaded", {"account": "acme", "text": "no address"})
        run = t.run_of("parse")
        assert (run.status, run.steps["read"].attempts) == ("Failed", 1)
    assert read(ADA) == Resume("Ada Lovelace", "ada@example.com", ["Python", "weaving"], 12)
