"""Typed decoding of usual replies never says anything else than the tolerant mapping, however a reply is changed, and
whatever the reply before it said."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
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
from app.providers.jpmorgan.three_d_secure import to_three_d_secure
from app.providers.loanpro import mapping as loanpro
from app.providers.loanpro import ordinary as ordinary_loanpro
from app.providers.reply_cache import ReplyCache
from app.vault.enums import CustomerRef
from app.vault.model import ThreeDSecure, VaultWallet
from bench.compare import bodies

REF = CustomerRef("37")
AT = "2026-01-02T03:04:05Z"
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
    module: Any
    tolerant: Read

    def cache(self) -> ReplyCache:
        return ReplyCache(self.module.content_of, self.module.ordinary_wallet)


def loanpro_body() -> Any:
    customer = bodies.loanpro_customer() | {"id": 37}
    card = customer["PaymentAccounts"]["results"][0]
    card["entityId"] = 37
    card["CreditCard"] |= {"address1": " 1 Main St ", "state": "geo.state.CA", "country": "company.country.usa"}
    card["CreditCard"] |= {"created": "/Date(1427829732)/"}
    return {"d": {"results": [customer], "summary": {"total": 1}}}


def caselle_body() -> Any:
    first, *others = bodies.caselle_methods()
    return [first | {"status": "active", "created_at": AT}, *others]


VAULTS = [
    Vault(
        "loanpro",
        loanpro_body(),
        ordinary_loanpro,
        loanpro_reads,
    ),
    Vault(
        "aloha",
        bodies.aloha_payments(),
        ordinary_aloha,
        aloha_reads,
    ),
    Vault(
        "jpmorgan",
        bodies.jpmorgan_profile()
        | {"consumerProfileId": "37", "createTimestamp": AT, "updateTimestamp": AT, "cardOnFileReferenceNumber": "x"},
        ordinary_jpmorgan,
        jpmorgan_reads,
    ),
    Vault(
        "caselle",
        caselle_body(),
        ordinary_caselle,
        caselle_reads,
    ),
]


@pytest.mark.parametrize("vault", VAULTS, ids=lambda vault: vault.name)
def test_a_usual_reply_is_read_the_same_way(vault: Vault) -> None:
    found = vault.cache().read(REF, reply(vault.body), "r")
    assert found is not None
    assert len(found.methods) > 1
    assert found == vault.tolerant(REF, vault.body)


@pytest.mark.parametrize("vault", VAULTS, ids=lambda vault: vault.name)
def test_a_member_without_meaning_changes_nothing(vault: Vault) -> None:
    cache, body = vault.cache(), copy.deepcopy(vault.body)
    first = cache.read(REF, reply(body), "r")
    assert first is not None
    (body if isinstance(body, dict) else body[-1])["nonce"] = "1"
    assert cache.read(REF, reply(body), "r") is first
    later = cache.read(REF, reply(body), "s")
    assert later == replace(first, provider_request_id="s")
    assert later is not None
    assert (later.methods is first.methods, later.reply is first.reply) == (True, True)
    (body if isinstance(body, dict) else body[-1])["nonce"] = "2"
    assert cache.read(REF, reply(body), "s") is later


def test_the_request_id_in_a_body_is_that_replys() -> None:
    vault = next(vault for vault in VAULTS if vault.name == "jpmorgan")
    cache = vault.cache()
    found = [cache.read(REF, reply(vault.body | {"requestId": given}), "r") for given in ("1", "2", " ")]
    assert [one and one.provider_request_id for one in found] == ["1", "2", "r"]
    assert all(one is not None and found[0] is not None and one.methods is found[0].methods for one in found)


ABSENT: Any = object()
EDGES: Sequence[Any] = (None, "", "x", 0, 1, 2, False, [], {}, [{}], "37", "38", "m", "INACTIVE", "DENIED", "N", AT)
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", " ", "x", " x ", "x\n", 0, 1, 2, -1, 7, 1.0, 1.5, True, False, [], {}, "1", "true", "2031", "13/2031",
     2031, "2031-13", "12/31", "1", "12345", "4111111111111111", "XXXX1", "ACTIVE", "INACTIVE", "active", "deleted",
     "credit", "card", "ach", "visa", "Visa", "VI", "37", 37, "38", 38, [1], [{}], {"uid": "38"},
     {"__deferred": {"uri": "x"}}, "creditCard.type.visa", "paymentAccount.type.credit",
     "93F5F620-EC93-47DD-AB24-C07BBF0B16B1", 10**18, "é"]
)  # fmt: skip
NAMES = [
     "error", "Errors", "errorCode", "fault", "message", "status", "active", "visible", "isPaymentAllowed", "entityId",
     "customerId", "customer_uid", "customer", "uid", "CustomerId", "$ref", "$id", "is_default", "bin", "created_at",
     "created", "addresses", "addressIdentifier", "total", "has_more", "__next", "next", "requestId", "profileStatus",
     "responseStatus", "validationErrors", "sepaList", "walletProvider", "verificationResult", "isSecondary", "title",
     "country", "zipcode", "institutionNumber", "Address", "nonce", "consumerProfileId", "token", "summary",
     "communication", "is_active", "enabled",
]  # fmt: skip


def containers(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(one for part in inner for one in containers(part))] if isinstance(value, dict | list) else []


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(VAULTS), st.data())
def test_a_changed_reply_is_read_the_same_way_or_left_to_the_mapping(vault: Vault, data: st.DataObject) -> None:
    cache = vault.cache()
    last = cache.read(REF, reply(vault.body), "r") if data.draw(st.booleans()) else None
    body = changed(vault.body, data)
    found = cache.read(REF, reply(body), "r")
    if found is not None:
        assert found == vault.tolerant(REF, body)
    del last  # the cache finds it no longer than it lives


STATUS = bodies.jpmorgan_status() | {"consumerProfileId": "37", "paymentMethodId": "m"}
STATUS_NAMES = (
    "responseMessage",
    "hostMessage",
    "threeDSTransactionStatus",
    "paymentMethodType",
    "transactionIdentifier",
)


def status_reads(body: Any) -> ThreeDSecure | None:
    if body.get("consumerProfileId") != "37" or "paymentMethodType" in body:
        assert set(jpmorgan.profiles_in(body)) <= {"37"}
    assert body.get("paymentMethodId") in (None, "m")
    return to_three_d_secure(body)


def test_statuses_of_equal_content_are_equal() -> None:
    first, equal = ordinary_jpmorgan.status_content(orjson.dumps(STATUS)), 0
    for body in each_change(STATUS, (*NAMES, *STATUS_NAMES)):
        if ordinary_jpmorgan.status_content(orjson.dumps(body)) == first:
            equal += 1
            assert status_reads(body) == status_reads(STATUS)
    assert equal > 20


@pytest.mark.parametrize("vault", VAULTS, ids=lambda vault: vault.name)
def test_no_change_hides_behind_the_reply_before_it(vault: Vault) -> None:
    cache, equal = vault.cache(), 0
    for body in each_change(vault.body, NAMES):
        first = cache.read(REF, reply(vault.body), "r")
        if cache.read(REF, reply(body), "r") is first:
            equal += 1
            assert first == vault.tolerant(REF, body)
    assert equal > 20


def jpmorgan_with_profile() -> Any:
    body = copy.deepcopy(next(vault.body for vault in VAULTS if vault.name == "jpmorgan"))
    body["paymentMethodType"]["cardList"][0] |= {"accountStatus": "INACTIVE", "addressIdentifier": "a"}
    body["addresses"] = [{"addressIdentifier": "a", "addressType": "BILLING", "addressStatus": "ACTIVE", "city": "X"}]
    body["communication"] = {"emailList": [{"emailAddress": "a@b.test", "communicationIdentifier": "c"}]}
    return body


def loanpro_with_inactive() -> Any:
    body = loanpro_body()
    body["d"]["results"][0]["PaymentAccounts"]["results"][0]["active"] = 0
    return body


@pytest.mark.parametrize("body", [jpmorgan_with_profile(), loanpro_with_inactive()], ids=["jpmorgan", "loanpro"])
def test_no_change_hides_behind_a_reply_that_was_not_ordinary(body: Any) -> None:
    vault = next(vault for vault in VAULTS if vault.name == ("loanpro" if "d" in body else "jpmorgan"))
    cache, equal = vault.cache(), 0
    assert cache.read(REF, reply(body), "r") is None
    for changed_body in each_change(body, NAMES):
        first = cache.put_tolerant(vault.tolerant(REF, body), reply(body))
        if cache.read(REF, reply(changed_body), "r") is first:
            equal += 1
            assert first == vault.tolerant(REF, changed_body)
    assert equal > 20


def each_change(given: Any, names: Sequence[str]) -> Iterator[Any]:
    """The body with one member of one object removed, changed or added; the same one again and again."""
    body = copy.deepcopy(given)
    for held in containers(body):
        if isinstance(held, list):
            continue
        members = dict(held)
        for name in sorted({*members, *names}):
            for value in ABSENT, *EDGES:
                held.clear()
                held.update(members | {name: value})
                if value is ABSENT:
                    del held[name]
                yield body
        held.clear()
        held.update(members)


def changed(given: Any, data: st.DataObject) -> Any:
    """A copy of a body with one to three changes."""
    body = copy.deepcopy(given)
    for _ in range(data.draw(st.integers(1, 3))):
        held = data.draw(st.sampled_from(containers(body)))
        if isinstance(held, dict):
            name = data.draw(st.sampled_from(sorted(held)) | st.sampled_from(NAMES) if held else st.sampled_from(NAMES))
            if data.draw(st.integers(0, 4)) == 0:
                held.pop(name, None)
            else:
                held[name] = copy.deepcopy(data.draw(VALUES))
        elif data.draw(st.booleans()) and held:
            held.append(copy.deepcopy(held[0]))
        else:
            held.append(copy.deepcopy(data.draw(VALUES)))
    return body


def reply(body: Any) -> VaultReply:
    return VaultReply(200, {}, orjson.dumps(body))
