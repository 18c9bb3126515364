"""Addresses of apps. Goal: one app has one address, and what only this network knows is told apart."""

from __future__ import annotations

import pytest

from headrace.errors import BadRequest
from headrace.functions.sdk_fields import read_go_duration_ms
from headrace.functions.sdk_urls import is_private, normal_url


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("http://localhost:3000/api/inngest", "http://localhost:3000/api/inngest"),
        ("http://127.0.0.1:3000/api/inngest", "http://localhost:3000/api/inngest"),
        ("http://0.0.0.0:3000/x", "http://localhost:3000/x"),
        ("http://127.0.0.1:80/x", "http://localhost/x"),
        ("https://shop.example:443/x", "https://shop.example/x"),
        ("https://shop.example:80/x", "https://shop.example:80/x"),
        ("https://shop.example/x?deployId=7&a=1&probe=trust", "https://shop.example/x?a=1"),
        ("localhost:3000/api/inngest", "http://localhost:3000/api/inngest"),
        ("http://[::1]:3000/x", "http://[::1]:3000/x"),
        (" http://shop.example/x ", "http://shop.example/x"),
        ("", ""),
        ("http://shop.example:port/x", "http://shop.example:port/x"),
    ],
)
def test_an_address_is_written_in_one_way(given: str, normal: str) -> None:
    assert normal_url(given) == normal
    assert normal_url(normal) == normal


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://localhost:3000/x", True),
        ("http://shop.localhost/x", True),
        ("http://127.0.0.9/x", True),
        ("http://[::1]/x", True),
        ("http://[::ffff:10.0.0.1]/x", True),
        ("http://10.1.2.3/x", True),
        ("http://192.168.0.7/x", True),
        ("http://169.254.169.254/latest", True),
        ("http://db.internal/x", True),
        ("http://[/x", True),
        ("https://shop.example/x", False),
        ("https://8.8.8.8/x", False),
    ],
)
def test_what_only_this_network_knows_is_private(url: str, private: bool) -> None:
    assert is_private(url) is private


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("0", 0),
        ("90s", 90_000),
        ("1h30m", 5_400_000),
        ("1.5h", 5_400_000),
        ("1d12h", 129_600_000),
        ("2w", 1_209_600_000),
        ("250ms", 250),
        ("1500us", 1),
        (".5s", 500),
        ("+1m", 60_000),
    ],
)
def test_durations_are_read_as_go_does(text: str, ms: int) -> None:
    assert read_go_duration_ms(text, "it") == ms


@pytest.mark.parametrize("text", ["", "5", "s", "1x", "1h 30m", "-1s", "1h-3m", "٣s", "9" * 19 + "s", ".s", "1H"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="is invalid"):
        read_go_duration_ms(text, "it")


def test_days_are_no_unit_of_the_language_itself() -> None:
    with pytest.raises(BadRequest, match="'1d' is invalid"):
        read_go_duration_ms("1d", "it", days=False)
