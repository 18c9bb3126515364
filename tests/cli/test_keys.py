"""The rule for listening beyond loopback. Goal: no node is open to the world by an oversight."""

from __future__ import annotations

import pytest

from headrace.cli.keys import Keys, is_loopback
from headrace.errors import NotReady

ALL = {"HEADRACE_EVENT_KEYS": "e1, e2", "HEADRACE_API_KEYS": "a1", "HEADRACE_SIGNING_KEY": "signkey-prod-00ff"}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.8.7", "localhost", "::1", "[::1]"])
def test_loopback_needs_no_key(host: str) -> None:
    assert is_loopback(host)
    Keys.load({}).check(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.test", "", "127.0.0.1.example.test"])
@pytest.mark.parametrize("missing", sorted(ALL))
def test_beyond_loopback_each_kind_of_key_is_needed(host: str, missing: str) -> None:
    keys = Keys.load({name: value for name, value in ALL.items() if name != missing})
    with pytest.raises(NotReady) as caught:
        keys.check(host)
    assert caught.value.code == "keys_missing"
    assert missing in caught.value.what


def test_with_all_keys_it_may_listen_anywhere() -> None:
    keys = Keys.load(ALL)
    keys.check("0.0.0.0")
    assert keys.event == ("e1", "e2")


def test_keys_are_never_shown() -> None:
    shown = repr(Keys.load({**ALL, "HEADRACE_SIGNING_KEY_FALLBACK": "old"}))
    assert not [secret for secret in ("e1", "e2", "a1", "00ff", "old") if secret in shown]
