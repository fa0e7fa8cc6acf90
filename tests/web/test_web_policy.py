"""Which addresses rulesets may reach, however they are written."""

from __future__ import annotations

import pytest

from runtime.errors import Fault
from runtime.web_policy import Policy

REFUSED = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.1.2.3", "172.16.0.1",
    "192.168.1.1", "100.64.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255", "240.0.0.1",
    "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%lo", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "::127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
    "2001:0:102:304::80ff:fffe", "fec0::1", "64:ff9b:1::7f00:1", "::ffff:0:7f00:1", "5f00::1",
]  # fmt: skip
PUBLIC = ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(Fault) as caught:
        Policy().allowed("name.example", 80, [address])
    assert caught.value.code == "R5005"
    assert caught.value.hint == (
        "whoever runs the engine can allow it: pico serve --allow-host name.example:80"
    )


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_open(address: str) -> None:
    assert Policy().allowed("name.example", 80, [address]) == [address]


def test_only_allowed_addresses_of_a_host_are_given_back() -> None:
    given = ["127.0.0.1", "1.1.1.1", "10.0.0.1", "2606:4700:4700::1111"]
    assert Policy().allowed("a.example", 80, given) == ["1.1.1.1", "2606:4700:4700::1111"]
    assert Policy().allowed("a.example", 80, []) == []


@pytest.mark.parametrize(
    ("entry", "host", "port", "address", "is_open"),
    [
        ("localhost", "localhost", 80, "127.0.0.1", True),
        ("localhost", "LOCALHOST.", 80, "::1", True),
        ("localhost", "other", 80, "127.0.0.1", False),
        ("localhost:8080", "localhost", 8080, "127.0.0.1", True),
        ("localhost:8080", "localhost", 80, "127.0.0.1", False),
        ("127.0.0.1", "localhost", 80, "127.0.0.1", True),
        ("127.0.0.1", "::ffff:127.0.0.1", 80, "::ffff:127.0.0.1", True),
        ("127.0.0.1:81", "localhost", 80, "127.0.0.1", False),
        ("192.168.0.0/16", "printer", 80, "192.168.7.7", True),
        ("192.168.0.0/16", "printer", 80, "10.0.0.1", False),
        ("::1", "x", 80, "::1", True),
        ("[::1]:81", "x", 81, "::1", True),
        ("[::1]:81", "x", 80, "::1", False),
        ("fd00::/8", "x", 80, "fd12::1", True),
        ("0.0.0.0/0", "x", 80, "169.254.169.254", True),
        (" My-Host.Example ", "my-host.example", 80, "10.0.0.1", True),
    ],
)
def test_the_owner_can_allow_more(
    entry: str, host: str, port: int, address: str, is_open: bool
) -> None:
    policy = Policy([entry])
    if is_open:
        assert policy.allowed(host, port, [address]) == [address]
    else:
        with pytest.raises(Fault):
            policy.allowed(host, port, [address])


@pytest.mark.parametrize(
    "entry",
    ["", "a b", "http://x", "x/8", "10.0.0.1/8", "127.1", "0x7f.1", "300.1.1.1", "x:0", "x:65536",
     "x:y", "[::1", "[::1]80", "[::1]:", "::1:zz", "*"],
)  # fmt: skip
def test_an_entry_that_names_nothing_is_told(entry: str) -> None:
    with pytest.raises(ValueError, match="names no host"):
        Policy([entry])


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "1.2.3.4.5"])
def test_old_spellings_of_addresses_are_refused(host: str) -> None:
    with pytest.raises(Fault) as caught:
        Policy(["0.0.0.0/0"]).check_address(host, 80)
    assert caught.value.code == "R5005"


def test_hosts_that_are_addresses_are_checked_and_names_are_left() -> None:
    Policy().check_address("name.example", 80)
    Policy().check_address("1.1.1.1", 80)
    with pytest.raises(Fault):
        Policy().check_address("::1", 80)
