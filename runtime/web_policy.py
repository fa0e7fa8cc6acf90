"""Which servers rulesets may reach: what is public, and what the owner of the engine has allowed.

In: the owner's list, and for each request a host, a port and the addresses that the host has. Out:
the addresses among them that may be connected to. Invariants: decided by address, not by name, so
no spelling of an address and no name server can lead elsewhere; whoever connects must connect to an
address that was given back here. Public means globally routed: loopback, link-local (where clouds
keep credentials), private and reserved networks, and IPv6 forms of such IPv4 addresses, are reached
only when the list has them. Not here: looking names up and connecting (web_session.py).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from runtime.errors import Fault

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Nothing beyond it is routed, whatever else is not known to be private: fec0::/10, 64:ff9b:1::/48.
_ROUTED = ipaddress.ip_network("2000::/3")
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE)
_PORT = re.compile(r"[0-9]{1,5}")


class Policy:
    """What the owner allowed beyond the public network.

    Entries: a name or address, with or without `:port` (`localhost:8080`, `[::1]:80`), or a network
    (`192.168.0.0/16`). A name allows every address that it has.
    Raises: ValueError for an entry that is none of these.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._names: set[tuple[str, int | None]] = set()
        self._networks: list[tuple[Network, int | None]] = []
        for entry in entries:
            self._add(entry)

    def _add(self, entry: str) -> None:
        host, port = _split(entry)
        try:
            self._networks.append((ipaddress.ip_network(host), port))
        except ValueError as error:
            if "/" in host or ":" in host or _NAME.fullmatch(host) is None or _is_digits(host):
                raise _no_entry(entry, str(error) if "/" in host else "") from None
            self._names.add((_plain(host), port))

    def allowed(self, host: str, port: int, addresses: Iterable[str]) -> list[str]:
        """Those of a host's addresses that may be connected to, in the order given.

        Raises: R5005 when there is none.
        """
        given = list(addresses)
        found = [address for address in given if self._allows(host, port, address)]
        if found or not given:
            return found
        where = f"{host}:{port}"
        seen = "" if given[0] == host else f" is at {given[0]}, which"
        raise Fault(
            "R5005",
            f"{where}{seen} is not open to rulesets of this engine",
            f"whoever runs the engine can allow it: pico serve --allow-host {where}",
        )

    def check_address(self, host: str, port: int) -> None:
        """Refuse a host that is an address, if it may not be reached; a name is checked later.

        Raises: R5005, also for old spellings of addresses (`127.1`, `0x7f000001`), which programs
        read in different ways.
        """
        try:
            address = str(ipaddress.ip_address(host))
        except ValueError:
            if ":" in host or _is_digits(host):
                raise Fault(
                    "R5005",
                    f"{host} is an address in a form that rulesets may not use",
                    "write all four numbers, such as 192.0.2.1, or a name",
                ) from None
        else:
            self.allowed(host, port, [address])

    def _allows(self, host: str, port: int, address: str) -> bool:
        name = _plain(host)
        if (name, None) in self._names or (name, port) in self._names:
            return True
        found = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
        if any(
            (allowed is None or allowed == port) and found in network
            for network, allowed in self._networks
        ):
            return True
        is_routed = found.version == 4 or found in _ROUTED
        return is_routed and found.is_global and not found.is_multicast


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, if it is of a form that does."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address.teredo is not None:
            inner = address.teredo[1]
        if inner is None and (address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1)):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return inner
    return address


def _split(entry: str) -> tuple[str, int | None]:
    """The host and the port of an entry."""
    text = entry.strip()
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise _no_entry(entry)
        return host, _port(entry, rest[1:]) if rest else None
    host, colon, port = text.partition(":")
    # More than one colon and no brackets: an IPv6 address or network.
    return (text, None) if not colon or ":" in port else (host, _port(entry, port))


def _port(entry: str, text: str) -> int:
    if _PORT.fullmatch(text) is None or not 1 <= int(text) <= 65535:
        raise _no_entry(entry, f"{text!r} is no port")
    return int(text)


def _is_digits(host: str) -> bool:
    """Whether something looks like an address rather than a name: 127.1, 0x7f000001."""
    last = host.rstrip(".").rpartition(".")[2].lower()
    return last.isdigit() or last.startswith("0x")


def _plain(host: str) -> str:
    return host.rstrip(".").lower()


def _no_entry(entry: str, why: str = "") -> ValueError:
    because = f" ({why})" if why else ""
    return ValueError(
        f"{entry!r} names no host{because}: give a name, an address, either with :port, "
        "or a network such as 192.168.0.0/16"
    )
