"""Middleware, injection and typed events. Goal: what is around functions is declared once, and called when it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pydantic
import pytest

from headrace import App, Context, Event, Middleware
from headrace.errors import BadDeclaration, BadRequest
from headrace.functions.models import EventModels


class Noting(Middleware):
    def __init__(self, name: str, notes: list[Any]) -> None:
        self.name = name
        self.notes = notes

    async def before_run(self, ctx: Context) -> None:
        self.notes.append((self.name, "before_run", ctx.event.name))

    def after_run(self, ctx: Context, output: Any, error: BaseException | None) -> None:
        self.notes.append((self.name, "after_run", output, type(error).__name__))

    def before_step(self, ctx: Context, step_id: str) -> None:
        self.notes.append((self.name, "before_step", step_id, ctx.attempt))

    async def after_step(self, ctx: Context, step_id: str, output: Any, error: BaseException | None) -> None:
        self.notes.append((self.name, "after_step", step_id, output, type(error).__name__))


def fails_once(notes: list[Any]) -> str:
    notes.append("step")
    if notes.count("step") == 1:
        raise ValueError("once")
    return "done"


@pytest.mark.parametrize("plain", [False, True], ids=["async", "plain"])
def test_hooks_are_called_around_runs_and_attempts(plain: bool) -> None:
    notes: list[Any] = []
    app = App("shop", middleware=[Noting("app", notes)])
    if plain:

        @app.function("f", trigger="go", middleware=Noting("own", notes))
        def f(ctx: Context) -> str:
            return str(ctx.step.run("once", fails_once, notes))
    else:

        @app.function("f", trigger="go", middleware=Noting("own", notes))
        async def f(ctx: Context) -> str:
            return await ctx.step.run("once", fails_once, notes)

    with app.test(evict="kept") as t:
        t.send("go")
        assert t.run_of("f").phase == "backing_off"
        attempt = [
            ("app", "before_step", "once", 0),
            ("own", "before_step", "once", 0),
            "step",
            ("own", "after_step", "once", None, "ValueError"),
            ("app", "after_step", "once", None, "ValueError"),
        ]
        begin = [("app", "before_run", "go"), ("own", "before_run", "go")]
        assert notes == begin + attempt
        notes[:] = ["step"]
        t.advance("5s")
        assert t.run_of("f").output == "done"
    replayed = begin if plain else []  # no thread is held over a rest, so its code starts again
    assert notes[1:] == [
        *replayed,
        ("app", "before_step", "once", 1),
        ("own", "before_step", "once", 1),
        "step",
        ("own", "after_step", "once", "done", "NoneType"),
        ("app", "after_step", "once", "done", "NoneType"),
        ("own", "after_run", "done", "NoneType"),
        ("app", "after_run", "done", "NoneType"),
    ]


def test_a_hook_that_raises_fails_what_it_is_around() -> None:
    class Guard(Middleware):
        def before_run(self, ctx: Context) -> None:
            if ctx.event.data.get("bad"):
                raise PermissionError("not for you")

    app = App("shop", middleware=Guard)

    @app.function("f", trigger="go", retries=0)
    async def f(ctx: Context) -> str:
        return "let in"

    with app.test() as t:
        t.send("go")
        assert t.run_of("f").output == "let in"
        t.send("go", {"bad": True})
        error = t.run_of("f").error
        assert error is not None
        assert (error.name, error.message) == ("PermissionError", "not for you")


def test_what_is_sent_is_seen_before() -> None:
    class Stamp(Middleware):
        def before_send(self, events: list[Event]) -> None:
            for event in events:
                event.data["stamped"] = True

    app = App("shop", middleware=[Stamp()])

    @app.function("f", trigger="go")
    async def f(ctx: Context) -> None:
        await ctx.step.send_event("tell", [{"name": "told", "data": {"n": 1}}, Event("told", {"n": 2})])

    with app.test() as t:
        t.send("go")
        assert [event.data for event in t.events("told")] == [{"n": 1, "stamped": True}, {"n": 2, "stamped": True}]


def test_middleware_is_checked_where_it_is_declared() -> None:
    class Misspelt(Middleware):
        def before_runs(self, ctx: Context) -> None: ...

    for wrong, said in ((Misspelt, "did you mean 'before_run'?"), (7, "derived from Middleware")):
        with pytest.raises(BadDeclaration) as caught:
            App("shop", middleware=wrong)  # type: ignore[arg-type]
        assert said in str(caught.value)


class Database:
    def __init__(self, name: str) -> None:
        self.name = name


class Mailer: ...


@pytest.mark.parametrize("plain", [False, True], ids=["async", "plain"])
def test_what_a_function_needs_is_given_by_its_class(plain: bool) -> None:
    app = App("shop")

    async def connect(ctx: Context) -> Database:
        return Database(ctx.event.data["name"])

    mailer = Mailer()
    app.provide(Database, connect)
    app.provide(Mailer, mailer)
    if plain:

        @app.function("f", trigger="go")
        def f(ctx: Context, step: Any, db: Database, *, mail: Mailer) -> Any:
            return [step.run("x", lambda: db.name), mail is mailer]
    else:

        @app.function("f", trigger="go")
        async def f(ctx: Context, db: Database, mail: Mailer) -> Any:
            return [await ctx.step.run("x", lambda: db.name), mail is mailer]

    with app.test() as t:
        t.send("go", {"name": "orders"})
        assert t.run_of("f").output == ["orders", True]


def test_what_nobody_provides_is_found_before_anything_starts() -> None:
    app = App("shop")
    app.provide(Mailer, Mailer())

    @app.function("f", trigger="go")
    async def f(ctx: Context, db: Database) -> None: ...

    with pytest.raises(BadDeclaration) as caught, app.test():
        pass
    assert caught.value.code == "provider_missing"
    assert caught.value.where.startswith(__file__)
    with pytest.raises(BadDeclaration):
        app.provide("Database", Database)  # type: ignore[arg-type]
    with pytest.raises(BadDeclaration):
        app.provide(Database, lambda one, two: one)


class OrderCreated(pydantic.BaseModel):
    order_id: str
    total: float = 0.0


@dataclass
class Paid:
    order_id: str


def typed(policy: str = "reject") -> App:
    app = App("shop")
    app.event("order/created", OrderCreated, policy=policy)
    app.event("payment/done", Paid)

    @app.function("order", trigger="order/created", retries=0)
    async def order(ctx: Context) -> Any:
        if ctx.event.invalid:
            return ["invalid", ctx.event.data]
        created = ctx.event.data
        assert type(created) is OrderCreated
        await ctx.step.send_event("pay", Event("payment/asked", {"order_id": created.order_id}))
        paid = await ctx.step.wait_for_event("paid", "payment/done", match="data.order_id", timeout="1h")
        assert not paid or type(paid.data) is Paid
        return [created.order_id, created.total, paid.data.order_id if paid else None]

    return app


@pytest.mark.parametrize("evict", ["kept", "always"])
def test_data_comes_in_the_type_of_its_model(evict: str) -> None:
    with typed().test(evict=evict) as t:
        t.send("order/created", {"order_id": "a", "total": "9.5"})
        t.send("payment/done", {"order_id": "a"})
        assert t.run_of("order").output == ["a", 9.5, "a"]


def test_what_does_not_fit_is_refused_when_it_is_sent() -> None:
    app = typed()
    with pytest.raises(BadRequest) as caught:
        app.send_sync({"name": "order/created", "data": {"total": 1}})
    assert caught.value.code == "event_data_invalid"
    assert "order_id" in caught.value.what
    with app.test() as t, pytest.raises(BadRequest):
        t.send("order/created", {"total": 1})


def test_what_comes_from_elsewhere_and_does_not_fit_follows_the_policy() -> None:
    with typed().test() as t:
        t.send("order/created", {"total": 1}, unchecked=True)
        error = t.run_of("order").error
        assert error is not None
        assert "order_id" in error.message
    with typed("dead-letter").test() as t:
        t.send("order/created", {"order_id": "fits"}, key="k")
        t.send("order/created", {"total": 1}, key="k")
        (run,) = (run for run in t.runs_of("order") if run.status == "Failed")
        topic = t.world.topics.dead
        partitions = range(len(t.world.cluster.topics[topic].partitions))
        dead = [record for partition in partitions for record in t.world.cluster.records(topic, partition)]
    (letter,) = dead
    assert (letter.key, b'"total":1' in letter.value) == (b"k", True)
    headers = dict(letter.headers)
    assert headers["headrace-code"] == b"event_data_invalid"
    assert b"order_id" in headers["headrace-reason"]
    assert headers["headrace-run-id"] == run.id.encode()
    with typed("accept").test() as t:
        t.send("order/created", {"total": 1})
        assert t.run_of("order").output == ["invalid", {"total": 1}]


@pytest.mark.parametrize(
    ("name", "model", "policy", "said"),
    [
        ("order/*", Paid, "reject", "no wildcards"),
        ("a", Paid, "rejct", "'reject'"),
        ("a", Paid, "dlq", "'dead-letter'"),
        ("a", object(), "reject", "event_model_invalid"),
        ("twice", OrderCreated, "reject", "two models"),
    ],
)
def test_models_are_checked_where_they_are_declared(name: str, model: Any, policy: str, said: str) -> None:
    models = EventModels()
    models.declare("twice", Paid)
    models.declare("twice", Paid)
    with pytest.raises(BadDeclaration) as caught:
        models.declare(name, model, policy)
    assert said in str(caught.value)
