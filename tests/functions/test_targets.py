"""Where requests may go. Goal: nothing that only this node can reach is open to whoever names an address."""

from __future__ import annotations

import pytest

from headrace.errors import BadRequest
from headrace.functions.targets import check_target, private_kind, target_host, without_secrets

PRIVATE = [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",  # metadata of most clouds
    "169.254.170.2",
    "100.100.100.200",
    "100.64.0.1",  # behind a carrier's NAT
    "192.0.2.1",  # of documents
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",  # IPv4 addresses that IPv6 ones carry
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:0a00:0001::1",
    "::127.0.0.1",
]
PUBLIC = ["8.8.8.8", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused(address: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_target("https://shop.example.com/x", ["8.8.8.8", address], allow_private=False)
    error = caught.value
    assert (error.code, error.status) == ("target_private", 403)
    assert address in error.what
    assert error.why
    assert error.do
    check_target("https://shop.example.com/x", [address], allow_private=True)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_not(address: str) -> None:
    assert private_kind(address) == ""
    check_target("http://shop.example.com:8080", [address], allow_private=False)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://[::1]:80/x", "https://user:secret@10.0.0.1/x?key=secret", "HTTP://169.254.169.254"],
)
def test_an_address_in_the_url_is_judged_without_a_lookup(url: str) -> None:
    with pytest.raises(BadRequest) as caught:
        check_target(url, [], allow_private=False)
    assert caught.value.code == "target_private"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example.com",
        "/x",
        "file:///etc/passwd",
        "gopher://a/b",
        "ftp://a/b",
        "http://",
        "http://[::1",
        "http://a:b/",
    ],
)
@pytest.mark.parametrize("allow_private", [True, False])
def test_only_urls_of_http_are_targets(url: str, allow_private: bool) -> None:
    with pytest.raises(BadRequest) as caught:
        check_target(url, [], allow_private)
    assert caught.value.code == "target_invalid"


def test_hosts_come_without_port_and_case() -> None:
    assert target_host("https://Shop.Example.com:444/a") == "shop.example.com"
    assert target_host("http://[2606:4700::1111]/") == "2606:4700::1111"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@a.example/x?key=k#f", "https://a.example/x"),
        ("https://a.example?key=k", "https://a.example"),
        ("nonsense?key=k", "nonsense"),
    ],
)
def test_secrets_of_urls_are_left_out(url: str, shown: str) -> None:
    assert without_secrets(url) == shown
