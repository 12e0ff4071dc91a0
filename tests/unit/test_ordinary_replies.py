"""Typed decoding of usual replies never says anything else than the tolerant mapping, however a reply is changed."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.http.message import VaultReply
from app.providers.aloha import mapping as aloha
from app.providers.aloha import ordinary as ordinary_aloha
from app.providers.caselle import mapping as caselle
from app.providers.caselle import ordinary as ordinary_caselle
from app.providers.jpmorgan import mapping as jpmorgan
from app.providers.jpmorgan import ordinary as ordinary_jpmorgan
from app.providers.loanpro import mapping as loanpro
from app.providers.loanpro import ordinary as ordinary_loanpro
from app.vault.enums import CustomerRef
from app.vault.model import VaultWallet
from bench.compare import bodies

REF = CustomerRef("37")
Read = Callable[[CustomerRef, Any], VaultWallet]


def loanpro_reads(ref: CustomerRef, body: Any) -> VaultWallet:
    page = loanpro.page_of(loanpro.under_d(body))
    assert not page.has_more
    assert page.total is None or page.total <= len(page.records)
    (customer,) = page.records
    assert loanpro.ref_of(customer["id"]) == ref
    accounts = customer["PaymentAccounts"]
    assert set(loanpro.owners_in(accounts)) <= {ref}
    assert not loanpro.must_expand(accounts)
    return loanpro.to_wallet(ref, accounts, "r", customer=customer)


def aloha_reads(ref: CustomerRef, body: Any) -> VaultWallet:
    assert aloha.customers_in(body) == []
    return aloha.to_wallet(ref, body, "r")


def jpmorgan_reads(ref: CustomerRef, body: Any) -> VaultWallet:
    assert set(jpmorgan.profiles_in(body)) == {ref}
    return jpmorgan.to_wallet(ref, body, "r")


def caselle_reads(ref: CustomerRef, body: Any) -> VaultWallet:
    assert caselle.customers_in(body, is_customer=True) == []
    page = caselle.page_of(body, {}, "http://vault.test/list")
    assert not page.has_more
    assert page.total is None
    assert caselle.has_default(body, page.records)
    return caselle.to_wallet(ref, page.records, caselle.default_in(body), "r")


@dataclass(frozen=True)
class Vault:
    name: str
    body: Any
    ordinary: Callable[[CustomerRef, VaultReply, str | None], VaultWallet | None]
    tolerant: Read


def loanpro_body() -> Any:
    customer = bodies.loanpro_customer() | {"id": 37}
    card = customer["PaymentAccounts"]["results"][0]
    card["entityId"] = 37
    card["CreditCard"] |= {"address1": " 1 Main St ", "state": "geo.state.CA", "country": "company.country.usa"}
    card["CreditCard"] |= {"created": "/Date(1427829732)/"}
    return {"d": {"results": [customer], "summary": {"total": 1}}}


def caselle_body() -> Any:
    first, *others = bodies.caselle_methods()
    return [first | {"status": "active", "created_at": "2026-01-02T03:04:05Z"}, *others]


VAULTS = [
    Vault("loanpro", loanpro_body(), ordinary_loanpro.ordinary_wallet, loanpro_reads),
    Vault("aloha", bodies.aloha_payments(), ordinary_aloha.ordinary_wallet, aloha_reads),
    Vault(
        "jpmorgan",
        bodies.jpmorgan_profile() | {"consumerProfileId": "37"},
        ordinary_jpmorgan.ordinary_wallet,
        jpmorgan_reads,
    ),
    Vault("caselle", caselle_body(), ordinary_caselle.ordinary_wallet, caselle_reads),
]


@pytest.mark.parametrize("vault", VAULTS, ids=lambda vault: vault.name)
def test_a_usual_reply_is_read_the_same_way(vault: Vault) -> None:
    found = vault.ordinary(REF, VaultReply(200, {}, orjson.dumps(vault.body)), "r")
    assert found is not None
    assert len(found.methods) > 1
    assert found == vault.tolerant(REF, vault.body)


VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", " ", "x", " x ", "x\n", 0, 1, 2, -1, 7, 1.0, 1.5, True, False, [], {}, "1", "true", "2031", "13/2031",
     2031, "2031-13", "12/31", "1", "12345", "4111111111111111", "XXXX1", "ACTIVE", "INACTIVE", "active", "deleted",
     "credit", "card", "ach", "visa", "Visa", "VI", "37", 37, "38", 38, [1], [{}], {"uid": "38"},
     {"__deferred": {"uri": "x"}}, "creditCard.type.visa", "paymentAccount.type.credit",
     "93F5F620-EC93-47DD-AB24-C07BBF0B16B1", 10**18, "é"]
)  # fmt: skip
NAMES = st.sampled_from(
    ["error", "Errors", "errorCode", "fault", "message", "status", "active", "visible", "isPaymentAllowed", "entityId",
     "customerId", "customer_uid", "customer", "uid", "CustomerId", "$ref", "$id", "is_default", "bin", "created_at",
     "created", "addresses", "addressIdentifier", "total", "has_more", "__next", "next", "requestId", "profileStatus",
     "responseStatus", "validationErrors", "sepaList", "walletProvider", "verificationResult", "isSecondary", "title",
     "country", "zipcode", "institutionNumber", "Address", "nonce", "consumerProfileId", "token", "summary"]
)  # fmt: skip


def containers(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(one for part in inner for one in containers(part))] if isinstance(value, dict | list) else []


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(VAULTS), st.data())
def test_a_changed_reply_is_read_the_same_way_or_left_to_the_mapping(vault: Vault, data: st.DataObject) -> None:
    body = copy.deepcopy(vault.body)
    for _ in range(data.draw(st.integers(1, 3))):
        held = data.draw(st.sampled_from(containers(body)))
        if isinstance(held, dict):
            name = data.draw(st.sampled_from(sorted(held)) | NAMES if held else NAMES)
            if data.draw(st.integers(0, 4)) == 0:
                held.pop(name, None)
            else:
                held[name] = copy.deepcopy(data.draw(VALUES))
        elif data.draw(st.booleans()) and held:
            held.append(copy.deepcopy(held[0]))
        else:
            held.append(copy.deepcopy(data.draw(VALUES)))
    found = vault.ordinary(REF, VaultReply(200, {}, orjson.dumps(body)), "r")
    if found is not None:
        assert found == vault.tolerant(REF, body)
