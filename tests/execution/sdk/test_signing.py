"""Signatures of calls. Goal: section 5 of the protocol, against digests worked out by hand."""

from __future__ import annotations

import hashlib
import hmac

from headrace.execution.sdk.signing import canonical, sign


def test_the_key_is_its_text_behind_the_prefix_and_the_moment_is_appended() -> None:
    body = b'{"a":1}'
    expected = hmac.new(b"12345678", body + b"1755850000", hashlib.sha256).hexdigest()
    assert sign("signkey-test-12345678", body, 1_755_850_000) == f"t=1755850000&s={expected}"
    assert sign("12345678", body, 1_755_850_000) == f"t=1755850000&s={expected}"
    alone = hmac.new(b"12345678", b"1755850000", hashlib.sha256).hexdigest()
    assert sign("signkey-prod-12345678", b"", 1_755_850_000) == f"t=1755850000&s={alone}"


def test_canonical_json_is_sorted_and_has_the_numbers_of_javascript() -> None:
    written = b'{ "b": 1.0, "a": [1e21, 0.1, -0.0, 12345678901234567890], "\\u20ac": "\\u00e9", "A": null }'
    assert canonical(written) == ('{"A":null,"a":[1e+21,0.1,0,12345678901234567000],"b":1,"€":"é"}'.encode())
