"""Any value of a display-only field is accepted: its record is read, and nothing raises. For every vault."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.providers.aloha import mapping as aloha
from app.providers.caselle import mapping as caselle
from app.providers.jpmorgan import mapping as jpmorgan
from app.providers.loanpro import mapping as loanpro
from app.vault.enums import CustomerRef, ExpiryState, PaymentMethodStatus
from app.vault.model import Card, PaymentMethod, VaultWallet
from app.vault.rules.etag import etag_of
from app.vault.rules.expiry import ExpiryClock
from app.vault.rules.label import label_of
from app.vault.rules.lookalikes import look_of
from app.vault.rules.order import PaymentMethodOrder, sort_key
from app.vault.rules.usable import is_usable
from tests.support import caselle_wire, jpmorgan_wire
from tests.unit import test_aloha_mapping, test_loanpro_mapping

CLOCK = ExpiryClock.at(datetime(2026, 1, 15, tzinfo=UTC), 30)

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Vault:
    """`body` is a reply with one method; the `identity` fields are those that decide whether it is one."""

    body: Any
    read: Callable[[Any], VaultWallet]
    record: Path
    identity: frozenset[str]
    around: tuple[Path, ...] = ()

    def paths(self) -> list[Path]:
        found: list[Path] = [*self.around]
        _walk(_at(self.body, self.record), self.record, self.identity, found)
        return found


def _walk(value: Any, path: Path, but: frozenset[str], found: list[Path]) -> None:
    for name, inner in value.items():
        if name not in but:
            found.append((*path, name))
        if isinstance(inner, dict):
            _walk(inner, (*path, name), but, found)


def _at(body: Any, path: Path) -> Any:
    for part in path:
        body = body[part]
    return body


def _loanpro(body: Any) -> VaultWallet:
    return loanpro.to_wallet(CustomerRef("2"), body)


LOANPRO_IDENTITY = frozenset({"id", "entityId", "type"})
BANK_ADDRESS = {"address1": "1 Main", "city": "Ogden", "state": "geo.state.UT", "zipcode": "1", "country": "usa"}
BANK = test_loanpro_mapping.bank_account()
BANK["CheckingAccount"] |= {"Address": BANK_ADDRESS, "institutionNumber": None}
FULL_CARD = jpmorgan_wire.wire_card(
    first6CardNumber="411111",
    accountNumberType="PAN",
    walletProvider="PAZE",
    middleName="Q",
    authenticationResult={"authenticationId": "a", "authenticationOrchestrationUrl": "https://3ds.example"},
    verificationResult={"messages": {"responseStatus": "SUCCESS", "responseCode": "ACCEPTED"}},
)
FULL_ACCOUNT = jpmorgan_wire.wire_account(verificationResult=FULL_CARD["verificationResult"])
SAVED = frozenset({"saved_payment_method_uid", "payment_method", "payment_method_type"})
PROFILE = (("profileStatus",), ("addresses",), ("addresses", 0, "line1"), ("addresses", 0, "countryCode"))


def _profile(name: str, record: Any) -> Vault:
    body = jpmorgan_wire.profile(**{name: [record], "defaultMOP": {"card": record}}) | {"profileStatus": "ACTIVE"}
    around = (*PROFILE, ("paymentMethodType", "defaultMOP"), ("paymentMethodType", "defaultMOP", "card"))
    return Vault(
        body,
        lambda body: jpmorgan.to_wallet(jpmorgan_wire.REF, body, None),
        ("paymentMethodType", name, 0),
        frozenset({"paymentMethodId"}),
        around,
    )


def _caselle(record: Any) -> Vault:
    return Vault([record], lambda body: caselle.to_wallet(caselle_wire.REF, body, None, None), (0,), SAVED)


VAULTS = {
    "loanpro card": Vault(
        {"results": [test_loanpro_mapping.card_account(visible=1, isPaymentAllowed=1)]},
        _loanpro,
        ("results", 0),
        LOANPRO_IDENTITY,
    ),
    "loanpro bank": Vault({"results": [BANK]}, _loanpro, ("results", 0), LOANPRO_IDENTITY),
    "aloha": Vault(
        [test_aloha_mapping.payment()],
        lambda body: aloha.to_wallet(test_aloha_mapping.REF, body),
        (0,),
        frozenset({"AccountId"}),
    ),
    "jpmorgan card": _profile("cardList", FULL_CARD),
    "jpmorgan bank": _profile("achList", FULL_ACCOUNT),
    "caselle card": _caselle(caselle_wire.wire_card(status="active", created_at="2026-01-01T00:00:00Z", active=True)),
    "caselle bank": _caselle(caselle_wire.wire_account(status="active", created_at=None)),
}
CASES = [(name, path) for name, vault in VAULTS.items() for path in vault.paths()]

NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=30) | st.from_regex(r"[0-9/ -]{1,20}|/Date\(-?[0-9]{1,25}\)/", fullmatch=True)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
)


def shown(method: PaymentMethod) -> None:
    """All that is made of a method before a client sees it."""
    expiry = CLOCK.state_of(method)
    is_usable(method, expiry)
    label_of(method)
    look_of(method)
    etag_of(method, None)
    for order in PaymentMethodOrder:
        sort_key(method, order, is_first=False)
    for name in ("holder_name", "last4", "title", "status_detail"):
        assert getattr(method, name) is None or isinstance(getattr(method, name), str)
    assert method.is_provider_default in (None, True, False)
    assert method.last4 is None or (len(method.last4) == 4 and method.last4.isdigit())
    if isinstance(method, Card):
        assert method.bin is None or len(method.bin) in (6, 8)
        assert not (method.expiry and method.has_unreadable_expiry)
        if method.has_unreadable_expiry:
            assert expiry is ExpiryState.UNKNOWN
            assert not is_usable(method, expiry)


@pytest.mark.parametrize(("name", "path"), CASES, ids=[f"{name} {path[-1]}" for name, path in CASES])
def test_a_field_that_is_only_shown_costs_itself(name: str, path: Path) -> None:
    vault = VAULTS[name]

    @settings(max_examples=25, deadline=None)
    @given(JSON)
    def check(value: Any) -> None:
        body = deepcopy(vault.body)
        _at(body, path[:-1])[path[-1]] = value
        wallet = vault.read(orjson.loads(orjson.dumps(body)))
        assert (len(wallet.methods), wallet.skipped) == (1, 0)
        shown(wallet.methods[0])

    check()


@pytest.mark.parametrize("name", VAULTS)
def test_a_reply_as_documented_is_usable(name: str) -> None:
    """Otherwise the properties above would hold for useless records."""
    vault = VAULTS[name]
    (method,) = vault.read(vault.body).methods
    assert method.status is PaymentMethodStatus.ACTIVE
    assert method.last4
    assert not isinstance(method, Card) or method.expiry
