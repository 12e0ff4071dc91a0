"""Client addresses: forwarding headers are trusted from configured proxies only, and read from the right."""

import pytest

from app.server.addresses import TrustedProxies, bucket_of, is_ip_address

PROXY = "10.0.0.1"
TRUSTED = TrustedProxies(["10.0.0.0/8", "2001:db8:ffff::/48", "192.0.2.7"])


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ("198.51.100.9", "198.51.100.9"),
        ("1.1.1.1, 198.51.100.9", "198.51.100.9"),
        ("1.1.1.1, 198.51.100.9, 10.9.9.9", "198.51.100.9"),
        ("198.51.100.9, 192.0.2.7,10.2.2.2", "198.51.100.9"),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
        ("198.51.100.9:4711", "198.51.100.9"),
        ("[2001:db8::5]:4711", "2001:db8::5"),
        ("2001:db8::5", "2001:db8::5"),
        ("2001:DB8:0:0::5, 2001:db8:ffff::1", "2001:db8::5"),
        ("::ffff:198.51.100.9", "198.51.100.9"),
        ("::ffff:198.51.100.9, ::ffff:10.1.2.3", "198.51.100.9"),
        ("fe80::1%eth0", "fe80::1"),
        ("198.51.100.9, unknown", PROXY),
        ("198.51.100.9, unknown, 10.2.2.2", "10.2.2.2"),
        ("", PROXY),
        ("198.51.100.9,", PROXY),
        ("nonsense, <script>", PROXY),
        ("999.1.1.1", PROXY),
        ("127.1", PROXY),
    ],
)
def test_the_rightmost_address_that_is_no_trusted_proxy(forwarded_for: str, client: str) -> None:
    assert TRUSTED.client_of(PROXY, {"x-forwarded-for": forwarded_for}) == client


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("for=198.51.100.9", "198.51.100.9"),
        ('for="198.51.100.9:4711";proto=https;by=10.0.0.1', "198.51.100.9"),
        ('proto=https;For="[2001:db8::5]:4711"', "2001:db8::5"),
        ("for=1.1.1.1, for=198.51.100.9, for=10.2.2.2", "198.51.100.9"),
        ("for=_hidden", PROXY),
        ("proto=https", PROXY),
        ("for=198.51.100.9, for=unknown", PROXY),
    ],
)
def test_the_standard_header_says_the_same(forwarded: str, client: str) -> None:
    assert TRUSTED.client_of(PROXY, {"forwarded": forwarded}) == client


def test_two_headers_count_only_where_they_agree() -> None:
    one, other = "198.51.100.9", "203.0.113.5"
    assert TRUSTED.client_of(PROXY, {"x-forwarded-for": one, "forwarded": f"for={one}"}) == one
    assert TRUSTED.client_of(PROXY, {"x-forwarded-for": one, "forwarded": f"for={other}"}) == PROXY


@pytest.mark.parametrize("peer", ["198.51.100.1", "2001:db8::1", "-", "11.0.0.1"])
def test_other_peers_are_not_trusted(peer: str) -> None:
    headers = {"x-forwarded-for": "203.0.113.5", "forwarded": "for=203.0.113.5"}
    assert TRUSTED.client_of(peer, headers) == peer
    assert TrustedProxies().client_of(PROXY, headers) == PROXY


def test_a_proxy_over_ipv6_sockets_is_known_by_its_ipv4_address() -> None:
    assert TRUSTED.client_of("::ffff:10.0.0.1", {"x-forwarded-for": "198.51.100.9"}) == "198.51.100.9"


def test_very_long_chains_are_read_from_their_end() -> None:
    chain = ", ".join(["203.0.113.5", *["10.1.1.1"] * 1_000])
    assert TRUSTED.client_of(PROXY, {"x-forwarded-for": chain}) == "10.1.1.1"


def test_ipv6_is_counted_by_subscriber() -> None:
    assert bucket_of("2001:db8:1:2:3::4") == bucket_of("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert bucket_of("2001:db8:1:3::1") != bucket_of("2001:db8:1:2::1")
    assert [bucket_of(one) for one in ("198.51.100.9", "::ffff:198.51.100.9", "-")] == ["198.51.100.9"] * 2 + ["-"]


def test_addresses_and_names() -> None:
    assert [one for one in ("10.0.2.2", "[::1]", "::1", "localhost", "10.0.2.2.nip.io", "") if is_ip_address(one)] == [
        "10.0.2.2", "[::1]", "::1",
    ]  # fmt: skip
