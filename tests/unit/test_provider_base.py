"""Helpers of all adapters: tolerant values, failures, country codes."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from app.errors import (
    OutcomeUnknown,
    RejectReason,
    UnsupportedByVault,
    VaultError,
    VaultRejected,
    VaultReplyUnreadable,
    VaultUnavailable,
)
from app.http.message import Effect, VaultReply, VaultRequest
from app.providers.base import VaultAdapter, by_ref, collect, distinct, fetch_each, read_errors
from app.providers.countries import alpha2, alpha3
from app.providers.registry import open_provider, specs
from app.providers.values import flag, instant_of, last4_of, postal_code_of, read_expiry
from app.settings.model import load_settings
from app.vault.countries import ALPHA2_OF, ALPHA3_OF
from app.vault.enums import CustomerRef, MethodRef, ProviderCapability, ProviderName
from app.vault.model import Expiry, VaultWallet
from tests.support.calls import soon
from tests.support.memory import card

ALOHA = ProviderName.ALOHA
A, B = CustomerRef("a"), CustomerRef("b")


def wallet(ref: CustomerRef) -> VaultWallet:
    return VaultWallet(provider=ALOHA, customer_ref=ref, methods=())


@pytest.mark.parametrize(
    "break_it",
    [
        lambda: {}["4111111111111111"],
        lambda: int("4111x"),
        lambda: orjson.loads(b"4111111111111111,"),
        lambda: [None][0]["x"],
        lambda: "x".missing,
        lambda: [][3],
    ],
)
def test_a_shape_error_becomes_ours_and_leaves_its_value_behind(break_it: Any) -> None:
    with pytest.raises(VaultReplyUnreadable) as read, read_errors(ALOHA):
        break_it()
    with pytest.raises(OutcomeUnknown) as written, read_errors(ALOHA, Effect.WRITE):
        break_it()
    for error in (read.value, written.value):
        assert error.__cause__ is None
        assert error.__suppress_context__
        assert "4111" not in str(error)


def test_our_own_errors_and_bugs_pass_through() -> None:
    with pytest.raises(VaultUnavailable), read_errors(ALOHA):
        raise VaultUnavailable(ALOHA)
    with pytest.raises(ZeroDivisionError), read_errors(ALOHA):
        _ = 1 / 0


def test_one_bad_record_costs_itself() -> None:
    assert collect(["1", "x", None, "2"], int) == ((1, 2), 2)


async def test_failures_stand_in_their_places_unless_all_failed() -> None:
    async def read(ref: CustomerRef) -> VaultWallet:
        if ref == B:
            raise VaultUnavailable(ALOHA)
        return wallet(ref)

    found = await fetch_each([A, B, A], read)
    assert found[A] == wallet(A)
    assert isinstance(found[B], VaultUnavailable)
    with pytest.raises(VaultUnavailable):
        await fetch_each([B], read)


def test_a_method_that_is_listed_twice_is_one() -> None:
    first, same, other = card("1"), card("1"), card("2")
    assert distinct([first, other, same]) == (first, other)
    contradicting = card("1", last4="9999")
    assert distinct([first, contradicting, same]) == (first,)
    assert distinct([]) == ()


def test_what_is_no_vault_error_is_a_bug_and_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        by_ref([A, B], [wallet(A), ZeroDivisionError()])
    missing = VaultRejected(ALOHA, RejectReason.CUSTOMER_NOT_FOUND)
    assert by_ref([A], [missing]) == {A: missing}


def test_country_codes_go_both_ways() -> None:
    assert len(ALPHA3_OF) == len(ALPHA2_OF) == 249
    assert (alpha2("usa"), alpha2("US"), alpha2(" gbr "), alpha2("XX"), alpha2(None)) == ("US", "US", "GB", None, None)
    assert (alpha3("us"), alpha3("DEU"), alpha3("zz"), alpha3(7)) == ("USA", "DEU", None, None)


@pytest.mark.parametrize(
    ("masked", "last4"),
    [("XXXX-XXXX-XXXX-1234", "1234"), ("1 2 3 4", "1234"), ("411111******", None), ("٤٤٤٤", None), (4242, "4242")],
)
def test_last4_is_what_a_number_ends_in(masked: object, last4: str | None) -> None:
    assert last4_of(masked) == last4


def test_flags_are_not_guessed() -> None:
    assert [flag(value) for value in (1, "1", True, "true", 0, "0", False, "F")] == [True] * 4 + [False] * 4
    assert [flag(value) for value in (2, "perhaps", [], {}, None, "", 0.5)] == [None] * 7


@pytest.mark.parametrize(
    ("spelled", "expiry", "is_unreadable"),
    [
        ("/Date(1480550400000)/", Expiry(2016, 12), False),
        ("/Date(1480550400)/", Expiry(2016, 12), False),
        ("/Date(1798761600000+0000)/", Expiry(2027, 1), False),
        ("2/2030", Expiry(2030, 2), False),
        ("12.2027", Expiry(2027, 12), False),
        ("2027/12", Expiry(2027, 12), False),
        (122027, Expiry(2027, 12), False),
        (12027, Expiry(2027, 1), False),
        (127, Expiry(2027, 1), False),
        (202712, Expiry(2027, 12), False),
        ("12/00", Expiry(2000, 12), False),
        (None, None, False),
        (" ", None, False),
        ("13/2O27", None, True),
        ("13/2027", None, True),
        ("00/2027", None, True),
        ("12/0000", None, True),
        ("12/027", None, True),
        ("0000-00-00", None, True),
        ("12", None, True),
        ("none", None, True),
        ("N/A", None, True),
        ("/Date(x)/", None, True),
        ("/Date(99999999999999999)/", None, True),
        ("٠١/٢٠٢٧", None, True),
        (0, None, True),
        (-122027, None, True),
        (False, None, True),
        ([], None, True),
    ],
)
def test_expiries(spelled: object, expiry: Expiry | None, is_unreadable: bool) -> None:
    assert read_expiry(spelled) == (expiry, is_unreadable)


@pytest.mark.parametrize(
    ("given", "code"), [("02101", "02101"), (84105, "84105"), (2101, None), ([], None), ("", None)]
)
def test_postal_codes(given: object, code: str | None) -> None:
    assert postal_code_of(given) == code


@pytest.mark.parametrize(
    ("spelled", "instant"),
    [
        ("2026-01-05T09:00:00.000Z", datetime(2026, 1, 5, 9, tzinfo=UTC)),
        ("2026-01-05T10:00:00+01:00", datetime(2026, 1, 5, 9, tzinfo=UTC)),
        ("2026-01-05 09:00:00", datetime(2026, 1, 5, 9, tzinfo=UTC)),
        ("/Date(1767603600)/", datetime(2026, 1, 5, 9, tzinfo=UTC)),
        ("/Date(1767603600000)/", datetime(2026, 1, 5, 9, tzinfo=UTC)),
        (1767603600, datetime(2026, 1, 5, 9, tzinfo=UTC)),
        (7, None),
        ("0001-01-01T00:00:00+05:00", None),
        ({}, None),
        ("/Date(-62169984000)/", None),
        ("/Date(99999999999999999)/", None),
        ("yesterday", None),
        (None, None),
    ],
)
def test_instants(spelled: object, instant: datetime | None) -> None:
    assert instant_of(spelled) == instant


@pytest.mark.parametrize("name", specs())
def test_a_spec_and_its_capabilities_agree(name: ProviderName) -> None:
    spec = specs()[name]
    able = {
        ProviderCapability.WEBHOOKS: spec.webhooks is not None,
        ProviderCapability.ADD: spec.graphql is not None,
        ProviderCapability.IMPORT: spec.import_token is not None,
    }
    assert {one for one, is_able in able.items() if is_able} == spec.capabilities.operations & able.keys()
    assert (ProviderCapability.ADD in spec.capabilities.operations) == bool(spec.capabilities.add_via)


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("jpmorgan", {"webhook_jwks_url": "https://keys.example/jwks.json"}),
        ("caselle", {"webhook_secret": "a secret of webhooks, which is long enough"}),
    ],
)
async def test_a_vault_reports_changes_if_its_webhooks_can_be_verified(name: str, setting: dict[str, str]) -> None:
    for given in ({}, setting):
        settings = load_settings(None, environ={}, **{name: {"base_url": "https://vault.example", **given}})
        opened = open_provider(ProviderName(name), settings)
        is_able = ProviderCapability.WEBHOOKS in opened.capabilities.operations
        await opened.close()
        assert is_able == bool(given)


class EchoHttp:
    """Answers with the request's path."""

    async def send(self, request: VaultRequest, call: Any) -> VaultReply:
        return VaultReply(200, {}, request.path.encode())

    async def close(self) -> None: ...


class PlainVault(VaultAdapter):
    """Of customer B the replies are not ordinary."""

    name = ALOHA

    def wallet_request(self, ref: CustomerRef, call: Any) -> VaultRequest:
        return VaultRequest(method="GET", path="" if ref == B else ref, route="")

    def ordinary_wallet(self, ref: CustomerRef, reply: VaultReply, call: Any) -> VaultWallet | None:
        return wallet(CustomerRef(reply.body.decode())) if reply.body else None

    async def read_wallet(self, ref: CustomerRef, reply: VaultReply, call: Any) -> VaultWallet:
        return replace(wallet(ref), skipped=1)


class OwnWayVault(PlainVault):
    async def wallet(self, ref: CustomerRef, call: Any) -> VaultWallet:
        return replace(await super().wallet(ref, call), truncated=True)


class OwnListVault(PlainVault):
    async def wallets(self, refs: Any, call: Any) -> dict[CustomerRef, VaultWallet | VaultError]:
        return {ref: wallet(ref) for ref in refs}


async def test_an_ordinary_reply_needs_no_coroutine_and_any_other_is_read() -> None:
    vault, call = PlainVault(EchoHttp()), soon()
    assert vault.wallet_request(A, call) is not None
    assert await vault.wallets([A], call) == {A: wallet(A)}
    assert await vault.wallets([B], call) == {B: replace(wallet(B), skipped=1)}


@pytest.mark.parametrize("kind", [OwnWayVault, type("Child", (OwnWayVault,), {}), OwnListVault])
async def test_an_adapter_that_reads_in_its_own_way_offers_no_request_to_bypass_it(kind: type[PlainVault]) -> None:
    vault, call = kind(EchoHttp()), soon()
    assert vault.wallet_request(A, call) is None
    assert await vault.wallet(A, call) == replace(wallet(A), truncated=kind is not OwnListVault)
    with pytest.raises(UnsupportedByVault):
        await vault.three_d_secure(A, MethodRef("1"), call)
