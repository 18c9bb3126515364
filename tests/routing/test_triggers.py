"""Who wants an event. Goal: each function whose trigger matches, once, in the order of the ids, whatever the names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.records.definitions import Definition, EventTrigger
from headrace.routing import Routes, wildcards
from tests.turns import known_event


def function(function_id: str, *triggers: str | tuple[str, str]) -> Definition:
    pairs = [trigger if isinstance(trigger, tuple) else (trigger, "") for trigger in triggers]
    return Definition(function_id, "app", function_id, [EventTrigger(*pair) for pair in pairs])


def starts(routes: Routes, name: str, data: bytes = b"{}", **more: object) -> list[str]:
    return routes.match(known_event(name, data=data, **more), 5_000)  # type: ignore[arg-type]


def test_functions_start_by_name_in_the_order_of_their_ids() -> None:
    routes = Routes([function("b", "order/created"), function("a", "order/created"), function("c", "order/paid")])
    assert starts(routes, "order/created") == ["a", "b"]
    assert starts(routes, "order/paid") == ["c"]
    assert starts(routes, "order") == []


def test_a_wildcard_stands_for_what_follows_a_slash_or_a_dot() -> None:
    assert wildcards("shop/order.created") == ["shop/*", "shop/order.*"]
    assert wildcards("plain") == []
    assert wildcards("ends/") == []
    routes = Routes(
        [function("all", "shop/*"), function("some", "shop/order.*"), function("one", "shop/order.created")]
    )
    assert starts(routes, "shop/order.created") == ["all", "one", "some"]
    assert starts(routes, "shop/user.created") == ["all"]
    assert starts(routes, "shopping/order.created") == []


def test_a_function_starts_once_however_many_of_its_triggers_match() -> None:
    routes = Routes([function("f", "shop/*", "shop/order", ("shop/order", "event.data.n > 1"))])
    assert starts(routes, "shop/order", b'{"n":5}') == ["f"]


def test_an_expression_decides_and_a_later_trigger_may_still_match() -> None:
    routes = Routes([function("f", ("order", "event.data.total > 100"), ("order", "event.data.vip == true"))])
    assert starts(routes, "order", b'{"total":150}') == ["f"]
    assert starts(routes, "order", b'{"total":50,"vip":true}') == ["f"]
    assert starts(routes, "order", b'{"total":50}') == []
    assert starts(routes, "order", b"null") == []


def test_an_expression_sees_the_id_and_time_that_user_code_sees() -> None:
    routes = Routes([function("f", ("order", "event.id == 'given' && event.ts == 77"))])
    assert starts(routes, "order", given_id="given", ts_ms=77) == ["f"]
    assert starts(routes, "order", ts_ms=77) == []


def test_a_broken_expression_stops_only_its_own_trigger() -> None:
    routes = Routes([function("broken", ("order", "event.data. >"), "refund"), function("whole", "order")])
    assert starts(routes, "order") == ["whole"]
    assert starts(routes, "refund") == ["broken"]
    assert list(routes.broken) == ["broken"]


def test_wanted_knows_names_and_wildcards() -> None:
    routes = Routes([function("f", "shop/*", "plain")])
    assert routes.wanted("shop/x")
    assert routes.wanted("plain")
    assert not routes.wanted("plainer")


NAMES = st.text("ab/.", min_size=1, max_size=5)


@given(st.lists(st.lists(NAMES | NAMES.map(lambda name: name + "*"), max_size=3), max_size=5), NAMES)
def test_matching_is_what_comparing_each_trigger_gives(triggers: list[list[str]], name: str) -> None:
    definitions = [function(f"f{number}", *names) for number, names in enumerate(triggers)]

    def fits(pattern: str) -> bool:
        stem = pattern[:-1]
        wild = pattern.endswith("*") and stem[-1:] in ("/", ".") and name.startswith(stem) and len(name) > len(stem)
        return pattern == name or wild

    expected = [d.id for d in definitions if any(fits(trigger.event) for trigger in d.triggers)]
    assert starts(Routes(definitions), name) == expected


def test_names_from_strangers_do_not_fill_the_memory() -> None:
    routes = Routes([function("f", "shop/*")])
    for number in range(10_000):
        routes.wanted(f"shop/{number}")
    assert len(routes._by_event) <= 4_096
    assert starts(routes, "shop/5") == ["f"]
