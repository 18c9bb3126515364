"""Signed tokens. Goal: only what this server has signed, for this purpose and for now, is believed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from headrace.console.web_tokens import TokenKeys

NOW_MS = 1_800_000_000_000
NOW_S = NOW_MS // 1000


def part(value: Any) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def made(claims: Any, *, header: Any = None, secret: bytes = b"s") -> str:
    """Make a token by the RFC, with other means than ours."""
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT'} if header is None else header)}.{part(claims)}"
    return f"{signed}.{part(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


GOOD = {"iss": "i", "exp": NOW_S + 60, "iat": NOW_S, "x": [1, "ü"]}


def test_a_token_carries_its_claims() -> None:
    keys = TokenKeys([b"s"])
    assert keys.read(keys.sign(GOOD), "i", NOW_MS) == GOOD
    assert keys.read(made(GOOD), "i", NOW_MS) == GOOD
    assert len(keys.sign(GOOD).split(".")) == 3


def test_the_vector_of_the_rfc_is_read() -> None:
    # RFC 7515, appendix A.1; it has ended in 2011.
    secret = base64.urlsafe_b64decode(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow=="
    )
    token = (
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    )
    keys = TokenKeys([secret])
    assert keys.read(token, "joe", 1_300_819_379_999) is not None
    assert keys.read(token, "joe", 1_300_819_380_000) is None


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b",
        "a.b.c.d",
        "..",
        made(GOOD)[:-2],
        made(GOOD) + "=",
        made(GOOD).replace(".", ". ", 1),
        made(GOOD, secret=b"other"),
        made(GOOD, header={"alg": "none"}),
        made(GOOD, header={"alg": "HS512"}),
        made(GOOD, header=[1]),
        ".".join([*made(GOOD, header={"alg": "none"}).split(".")[:2], ""]),
        made([1]),
        made(b"no json"),
        made({**GOOD, "iss": "other"}),
        made({**GOOD, "exp": NOW_S}),
        made({**GOOD, "exp": str(NOW_S + 60)}),
        made({**GOOD, "exp": True}),
        made({key: value for key, value in GOOD.items() if key != "exp"}),
        made({**GOOD, "iat": NOW_S + 120, "exp": NOW_S + 180}),
        made({**GOOD, "y": "x" * 70_000}),
    ],
)
def test_anything_else_is_not_believed(token: str) -> None:
    assert TokenKeys([b"s"]).read(token, "i", NOW_MS) is None


def test_keys_are_changed_one_after_the_other() -> None:
    before, both, after = (TokenKeys(secrets) for secrets in ([b"a"], [b"b", b"a"], [b"b"]))
    assert both.read(before.sign(GOOD), "i", NOW_MS) is not None
    assert after.read(both.sign(GOOD), "i", NOW_MS) is not None
    assert after.read(before.sign(GOOD), "i", NOW_MS) is None


def test_purposes_are_kept_apart() -> None:
    one, other = TokenKeys.derive(["signkey-prod-12"], "realtime"), TokenKeys.derive(["signkey-prod-12"], "outputs")
    assert other.read(one.sign(GOOD), "i", NOW_MS) is None
    assert TokenKeys.derive(["signkey-prod-12"], "realtime").read(one.sign(GOOD), "i", NOW_MS) is not None


@pytest.mark.parametrize("secrets", [[], [b""], [b"a", b""]])
def test_there_is_no_signing_without_a_secret(secrets: list[bytes]) -> None:
    with pytest.raises(ValueError, match="secret"):
        TokenKeys(secrets)
