"""J.P. Morgan only, against the stateful emulator over real HTTP."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.errors import (
    InvalidRequest,
    OutcomeUnknown,
    RejectReason,
    UnsupportedByVault,
    VaultRefusedUs,
    VaultRejected,
    VaultReplyUnreadable,
    VaultTimeout,
    VaultUnavailable,
)
from app.providers.jpmorgan.client import JpMorganVault
from app.providers.registry import open_provider
from app.sandbox.demo import ALEX, SAM, demo_guid, load_customer
from app.vault.enums import (
    AddRoute,
    AuthStatus,
    BankAccountType,
    BankRail,
    CardBrand,
    CardTokenType,
    CustomerRef,
    MethodRef,
    NextActionKind,
    PaymentMethodStatus,
    ProviderName,
)
from app.vault.model import (
    Address,
    Authenticate,
    BankAccount,
    BeforeAdd,
    Card,
    Expiry,
    MethodChange,
    NewCard,
    NewCustomer,
    PersonName,
    VaultWallet,
)
from app.vault.secret import Secret
from tests.contract.case_jpmorgan import new_account
from tests.support.calls import REQUEST_ID, paths, settings_on, soon
from tests.support.sandbox import RunningSandbox

ALEX_REF = CustomerRef(ALEX.refs["jpmorgan"])
SAM_REF = CustomerRef(SAM.refs["jpmorgan"])
UNKNOWN_REF = CustomerRef("UNKNOWN")
FIRST = MethodRef("77ccba29-4857-494a-82bc-2a80e1fa2b9d")
DEFAULT = MethodRef("63aaba29-4857-494a-82bc-2a80e1fa2b1e")
AUTHENTICATED = MethodRef("6d66f2e5-ad81-4848-9884-d5ff32ee7690")
SAM_ACCOUNT = MethodRef(demo_guid("jpmorgan-sam-ach"))
PROFILE = f"/api/v2/mmp/consumer-profiles/{ALEX_REF}"
HOME = Address(line1="1 High St", line2="Flat 2", city="Leeds", region="LDS", postal_code="LS1 1AA", country="GB")


@pytest.fixture
async def vault(sandbox: RunningSandbox) -> AsyncIterator[JpMorganVault]:
    opened = open_provider(ProviderName.JPMORGAN, settings_on(sandbox, raw_cards=True))
    yield opened
    await opened.close()


def card(**fields: Any) -> NewCard:
    given: dict[str, Any] = {
        "provider": ProviderName.JPMORGAN,
        "route": AddRoute.RAW_CARD,
        "secret": Secret("4012888888881881"),
        "brand": CardBrand.VISA,
        "expiry": Expiry(2031, 7),
        "first_name": "Alex",
        "last_name": "Morales",
    }
    return NewCard(**given | fields)


async def wallet_of(vault: JpMorganVault, ref: CustomerRef = ALEX_REF) -> VaultWallet:
    found = (await vault.wallets([ref], soon()))[ref]
    assert isinstance(found, VaultWallet)
    return found


async def held(vault: JpMorganVault, method: MethodRef, ref: CustomerRef = ALEX_REF) -> Card | BankAccount:
    [found] = [each for each in (await wallet_of(vault, ref)).methods if each.method_ref == method]
    assert isinstance(found, Card | BankAccount)
    return found


# ---- reading ----------------------------------------------------------------------------------------------


async def test_a_profile_is_one_call(vault: JpMorganVault, sandbox: RunningSandbox) -> None:
    wallet = await wallet_of(vault)
    assert [(method.method_ref, method.last4, method.is_provider_default) for method in wallet.methods] == [
        (FIRST, "9999", False),
        (DEFAULT, "0919", True),
        (AUTHENTICATED, "1111", False),
    ]
    assert (wallet.skipped, wallet.provider_request_id) == (0, REQUEST_ID)
    assert wallet.methods[0].billing_address is None, "its address is for shipping"
    assert wallet.methods[1].billing_address == Address(
        line1="300 Elton Street", line2="Apt 123", city="Glen Mills", region="PA", postal_code="19342", country="US"
    )
    assert paths(sandbox, "jpmorgan") == [f"GET {PROFILE}"]


async def test_an_unknown_customer_in_a_batch_affects_only_itself(
    vault: JpMorganVault, sandbox: RunningSandbox
) -> None:
    refs = [CustomerRef(load_customer(number).refs["jpmorgan"]) for number in range(1, 9)]
    found = await vault.wallets([*refs, UNKNOWN_REF, refs[0], CustomerRef("../healthcheck")], soon())
    assert [isinstance(found[ref], VaultWallet) for ref in refs] == [True] * 8
    for unknown in (UNKNOWN_REF, CustomerRef("../healthcheck")):
        error = found[unknown]
        assert isinstance(error, VaultRejected)
        assert error.reason is RejectReason.CUSTOMER_NOT_FOUND
    assert len(paths(sandbox, "jpmorgan")) == 9


async def test_first_six_is_the_bin(vault: JpMorganVault, sandbox: RunningSandbox) -> None:
    assert [method.bin for method in (await wallet_of(vault)).methods if isinstance(method, Card)] == [None] * 3
    sandbox.switch("jpmorgan", "FIRST_SIX", "shown")
    found = [method.bin for method in (await wallet_of(vault)).methods if isinstance(method, Card)]
    assert found == ["555555", "423455", "411111"]


async def test_a_request_id_is_turned_into_a_uuid(vault: JpMorganVault) -> None:
    found = await vault.wallets([ALEX_REF], soon(request_id="req-1"))
    again = await vault.wallets([ALEX_REF], soon(request_id="req-1"))
    ids = {wallet.provider_request_id for wallet in (found[ALEX_REF], again[ALEX_REF])}
    assert len(ids) == 1
    assert len(str(ids.pop())) == 36


@pytest.mark.parametrize(
    ("ref", "method", "status"),
    [
        (ALEX_REF, AUTHENTICATED, AuthStatus.AUTHENTICATED),
        (SAM_REF, MethodRef(demo_guid("jpmorgan-sam-card")), AuthStatus.FAILED),
        (ALEX_REF, FIRST, None),
    ],
)
async def test_three_d_secure(
    vault: JpMorganVault, sandbox: RunningSandbox, ref: CustomerRef, method: MethodRef, status: AuthStatus | None
) -> None:
    found = await vault.three_d_secure(ref, method, soon())
    assert (found.status if found else None) is status
    assert len(paths(sandbox, "jpmorgan")) == 1


async def test_three_d_secure_error_is_unavailable(vault: JpMorganVault, sandbox: RunningSandbox) -> None:
    sandbox.three_ds(FIRST, "ERROR")
    found = await vault.three_d_secure(ALEX_REF, FIRST, soon())
    assert found is not None
    assert (found.status, found.raw_status) == (AuthStatus.UNAVAILABLE, "ERROR")


async def test_three_d_secure_is_for_cards(vault: JpMorganVault) -> None:
    with pytest.raises(VaultReplyUnreadable):
        await vault.three_d_secure(SAM_REF, SAM_ACCOUNT, soon())


async def test_customer_exists(vault: JpMorganVault) -> None:
    assert await vault.customer_exists(ALEX_REF, soon())
    assert not await vault.customer_exists(UNKNOWN_REF, soon())
    assert not await vault.customer_exists(CustomerRef(""), soon())


async def test_merchant_access(sandbox: RunningSandbox, vault: JpMorganVault) -> None:
    await vault.check(soon())
    other = sandbox.credentials("jpmorgan")["other_merchant_identifier"]
    for merchant, fault in ((other, None), ("111111111111", VaultRefusedUs), ("", VaultRefusedUs)):
        opened = open_provider(ProviderName.JPMORGAN, settings_on(sandbox, jpmorgan={"merchant_identifier": merchant}))
        try:
            if fault is None:
                await opened.check(soon())
                assert not await opened.customer_exists(ALEX_REF, soon())
            else:
                with pytest.raises(fault):
                    await opened.check(soon())
        finally:
            await opened.close()


async def test_authentication_with_a_signed_assertion(sandbox: RunningSandbox) -> None:
    shown = sandbox.credentials("jpmorgan")
    signed = {name: shown[name] for name in ("private_key", "key_id", "resource")}
    opened = open_provider(ProviderName.JPMORGAN, settings_on(sandbox, jpmorgan={"client_secret": "", **signed}))
    try:
        await opened.check(soon())
    finally:
        await opened.close()


async def test_a_wrong_secret_is_refused(sandbox: RunningSandbox) -> None:
    opened = open_provider(ProviderName.JPMORGAN, settings_on(sandbox, jpmorgan={"client_secret": "wrong"}))
    try:
        with pytest.raises(VaultRefusedUs):
            await opened.wallets([ALEX_REF], soon())
    finally:
        await opened.close()


# ---- adding -----------------------------------------------------------------------------------------------


async def test_raw_card_is_matched_by_difference_and_keeps_the_default(
    vault: JpMorganVault, sandbox: RunningSandbox
) -> None:
    new = card(billing_address=HOME)
    before = await vault.before_add(ALEX_REF, new, soon())
    assert before == BeforeAdd(method_refs=frozenset({FIRST, DEFAULT, AUTHENTICATED}), default_ref=DEFAULT)
    added = await vault.add(ALEX_REF, new, before, True, soon())
    assert (added.customer_ref, added.next_action) == (ALEX_REF, None)
    stored = await held(vault, added.method_ref)
    assert stored == Card(
        provider=ProviderName.JPMORGAN,
        customer_ref=ALEX_REF,
        method_ref=added.method_ref,
        holder_name="Alex Morales",
        last4="1881",
        billing_address=HOME,
        address_ref=stored.address_ref,
        is_provider_default=False,
        brand=CardBrand.VISA,
        expiry=Expiry(2031, 7),
    )
    writes = [row for row in sandbox.calls("jpmorgan") if row["method"] != "GET"]
    assert [(row["method"], row["path"]) for row in writes] == [("POST", f"{PROFILE}/payment-methods")]


@pytest.mark.parametrize("rail", [BankRail.ACH, BankRail.SEPA, BankRail.BACS])
async def test_bank_accounts(vault: JpMorganVault, rail: BankRail) -> None:
    new = new_account(rail)
    added = await vault.add(SAM_REF, new, await vault.before_add(SAM_REF, new, soon()), False, soon())
    stored = await held(vault, added.method_ref, SAM_REF)
    assert isinstance(stored, BankAccount)
    assert (stored.rail, stored.last4, stored.holder_name) == (rail, new.secret.reveal()[-4:], "Erika Muster")
    assert stored.account_type is (BankAccountType.CORPORATE_CHECKING if rail is BankRail.ACH else None)


@pytest.mark.parametrize("token_type", [CardTokenType.NETWORK_TOKEN, CardTokenType.DEVICE_TOKEN])
async def test_network_and_device_tokens(vault: JpMorganVault, token_type: CardTokenType) -> None:
    new = card(route=AddRoute.NETWORK_TOKEN, token_type=token_type)
    added = await vault.add(ALEX_REF, new, await vault.before_add(ALEX_REF, new, soon()), False, soon())
    stored = await held(vault, added.method_ref)
    assert isinstance(stored, Card)
    assert (stored.last4, stored.brand) == ("1881", CardBrand.VISA)


async def test_requesting_3ds_returns_a_challenge_url_and_a_later_result(
    vault: JpMorganVault, sandbox: RunningSandbox
) -> None:
    new = card(authenticate=Authenticate(return_url="https://shop.example/back"))
    added = await vault.add(ALEX_REF, new, await vault.before_add(ALEX_REF, new, soon()), False, soon())
    assert added.next_action is not None
    assert added.next_action.kind is NextActionKind.REDIRECT
    assert added.next_action.url is not None
    assert added.next_action.url.startswith(sandbox.url)
    pending = await held(vault, added.method_ref)
    assert isinstance(pending, Card)
    assert pending.status is PaymentMethodStatus.PENDING
    assert pending.three_d_secure is not None
    assert pending.three_d_secure.status is AuthStatus.CHALLENGE_REQUIRED
    assert await vault.three_d_secure(ALEX_REF, added.method_ref, soon()) is None
    sandbox.three_ds(added.method_ref, "DENIED")
    denied = await held(vault, added.method_ref)
    assert isinstance(denied, Card)
    assert (denied.status, denied.three_d_secure) == (PaymentMethodStatus.VERIFICATION_FAILED, None)
    sandbox.three_ds(added.method_ref, "ERROR")
    errored = await held(vault, added.method_ref)
    assert (errored.status, errored.status_detail) == (PaymentMethodStatus.UNKNOWN, "ERRORED")


async def test_a_concurrent_addition_is_distinguished(vault: JpMorganVault) -> None:
    before = await vault.before_add(ALEX_REF, card(), soon())
    other = await vault.add(ALEX_REF, card(secret=Secret("5555555555554444")), before, False, soon())
    bank = await vault.add(ALEX_REF, new_account(BankRail.ACH), before, False, soon())
    mine = await vault.add(ALEX_REF, card(), before, False, soon())
    assert len({other.method_ref, bank.method_ref, mine.method_ref}) == 3
    stored = await held(vault, mine.method_ref)
    assert stored.last4 == "1881"
    with pytest.raises(OutcomeUnknown):  # the same card added twice since `before` is ambiguous
        await vault.add(ALEX_REF, card(), before, False, soon())


async def test_disabled_routes_cause_no_call(sandbox: RunningSandbox) -> None:
    opened = open_provider(ProviderName.JPMORGAN, settings_on(sandbox, network_tokens=False))
    try:
        assert opened.capabilities.add_via == {AddRoute.BANK_ACCOUNT, AddRoute.WALLET_PAYLOAD}
        for new, code in (
            (card(), "RAW_CARD_DISABLED"),
            (card(route=AddRoute.NETWORK_TOKEN), "UNSUPPORTED_BY_PROVIDER"),
            (card(route=AddRoute.PROVIDER_TOKEN), "UNSUPPORTED_BY_PROVIDER"),
        ):
            assert [fault.code for fault in opened.faults_of_add(new)] == [code]
            with pytest.raises(InvalidRequest):
                await opened.add(ALEX_REF, new, BeforeAdd(method_refs=frozenset()), False, soon())
    finally:
        await opened.close()
    assert sandbox.calls("jpmorgan", token_routes=True) == []


async def test_a_refused_field_has_its_path(vault: JpMorganVault, sandbox: RunningSandbox) -> None:
    """16 digits exactly: a rule of the vault's schema, not of the gateway."""
    sandbox.switch("jpmorgan", "PAN_LENGTH", "exactly_16")
    new = card(secret=Secret("378282246310005"), brand=CardBrand.AMEX)
    with pytest.raises(VaultRejected) as caught:
        await vault.add(ALEX_REF, new, await vault.before_add(ALEX_REF, new, soon()), False, soon())
    assert (caught.value.reason, caught.value.provider_code) == (RejectReason.INVALID_INPUT, "MP_REQ_001")
    assert [fault.path for fault in caught.value.faults] == [("secret",)]
    assert "378282246310005" not in str(caught.value)


async def test_a_kind_that_the_merchant_may_not_use(sandbox: RunningSandbox) -> None:
    other = sandbox.credentials("jpmorgan")["other_merchant_identifier"]
    opened = open_provider(ProviderName.JPMORGAN, settings_on(sandbox, jpmorgan={"merchant_identifier": other}))
    customer = NewCustomer(external_id="other-1", name=PersonName("A", "B"))
    try:
        with pytest.raises(VaultRejected) as caught:
            await opened.create_with_method(customer, new_account(BankRail.SEPA), soon())
    finally:
        await opened.close()
    assert caught.value.reason is RejectReason.NOT_ENABLED


# ---- profiles ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", ["generated", "external"])
async def test_profile_and_method_in_one_call(vault: JpMorganVault, sandbox: RunningSandbox, ids: str) -> None:
    sandbox.switch("jpmorgan", "PROFILE_ID", ids)
    customer = NewCustomer(
        external_id="user-99",
        name=PersonName("Kim", "Larsen"),
        email="kim@example.com",
        phone="+18885550100",
        address=HOME,
    )
    added = await vault.create_with_method(customer, new_account(BankRail.ACH), soon())
    assert (added.customer_ref == "USER-99") is (ids == "external")
    [stored] = (await wallet_of(vault, added.customer_ref)).methods
    assert (stored.method_ref, stored.last4, stored.is_provider_default) == (added.method_ref, "1156", True)
    assert paths(sandbox, "jpmorgan")[0] == "POST /api/v2/mmp/consumer-profiles"
    with pytest.raises(VaultRejected) as caught:
        await vault.create_with_method(customer, new_account(BankRail.ACH), soon())
    assert caught.value.reason is RejectReason.DUPLICATE_CUSTOMER


async def test_a_profile_without_a_method_cannot_be_created(vault: JpMorganVault, sandbox: RunningSandbox) -> None:
    customer = NewCustomer(external_id="user-99", name=PersonName("Kim", "Larsen"))
    assert [fault.code for fault in vault.faults_of_customer(customer)] == ["UNSUPPORTED_BY_PROVIDER"]
    with pytest.raises(UnsupportedByVault):
        await vault.create_customer(customer, soon())
    with pytest.raises(UnsupportedByVault):
        await vault.find_customer("user-99", soon())
    bad = NewCustomer(external_id="a&&b", name=PersonName("Kim", "Larsen"))
    with pytest.raises(InvalidRequest):
        await vault.create_with_method(bad, new_account(BankRail.ACH), soon())
    assert sandbox.calls("jpmorgan") == []


async def test_erase_is_idempotent(vault: JpMorganVault) -> None:
    await vault.erase_customer(ALEX_REF, soon())
    assert not await vault.customer_exists(ALEX_REF, soon())
    await vault.erase_customer(ALEX_REF, soon())


# ---- changing ---------------------------------------------------------------------------------------------


async def test_update_of_a_card(vault: JpMorganVault) -> None:
    change = MethodChange(expiry=Expiry(2033, 1), holder=PersonName("Ann", "Doe"), billing_address=HOME, active=False)
    assert await vault.update(await held(vault, FIRST), change, soon()) == FIRST
    changed = await held(vault, FIRST)
    assert isinstance(changed, Card)
    assert (changed.expiry, changed.holder_name) == (Expiry(2033, 1), "Ann Doe")
    assert (changed.billing_address, changed.status) == (HOME, PaymentMethodStatus.INACTIVE)


@pytest.mark.parametrize("rail", [BankRail.ACH, BankRail.SEPA, BankRail.BACS])
async def test_update_of_an_account(vault: JpMorganVault, rail: BankRail) -> None:
    new = new_account(rail)
    added = await vault.add(SAM_REF, new, await vault.before_add(SAM_REF, new, soon()), False, soon())
    change = MethodChange(active=False, holder=PersonName("Max", "Muster"))
    await vault.update(await held(vault, added.method_ref, SAM_REF), change, soon())
    changed = await held(vault, added.method_ref, SAM_REF)
    assert (changed.status, changed.holder_name) == (PaymentMethodStatus.INACTIVE, "Max Muster")


async def test_unsupported_changes_cause_no_call(vault: JpMorganVault, sandbox: RunningSandbox) -> None:
    bank = await held(vault, SAM_ACCOUNT, SAM_REF)
    sandbox.clear_calls()
    change = MethodChange(expiry=Expiry(2033, 1), title="Mine", is_secondary=True, billing_address=Address())
    found = [(fault.path, fault.code) for fault in vault.faults_of_update(bank, change)]
    assert found == [
        (("is_secondary",), "UNSUPPORTED_BY_PROVIDER"),
        (("title",), "UNSUPPORTED_BY_PROVIDER"),
        (("expiry",), "UNSUPPORTED_BY_PROVIDER"),
        (("billing_address", "line1"), "REQUIRED"),
        (("billing_address", "city"), "REQUIRED"),
        (("billing_address", "country"), "REQUIRED"),
    ]
    with pytest.raises(InvalidRequest):
        await vault.update(bank, change, soon())
    assert sandbox.calls("jpmorgan") == []


async def test_default_moves_but_not_to_an_inactive_method(vault: JpMorganVault) -> None:
    await vault.set_default(ALEX_REF, FIRST, soon())
    assert [m.method_ref for m in (await wallet_of(vault)).methods if m.is_provider_default] == [FIRST]
    await vault.update(await held(vault, AUTHENTICATED), MethodChange(active=False), soon())
    with pytest.raises(VaultRejected) as caught:
        await vault.set_default(ALEX_REF, AUTHENTICATED, soon())
    assert caught.value.reason is RejectReason.INVALID_INPUT
    with pytest.raises(VaultRejected) as caught:
        await vault.set_default(ALEX_REF, MethodRef(demo_guid("nothing")), soon())
    assert caught.value.reason is RejectReason.METHOD_NOT_FOUND


async def test_deleting_the_default_leaves_no_default_and_is_idempotent(vault: JpMorganVault) -> None:
    await vault.delete(ALEX_REF, DEFAULT, soon())
    await vault.delete(ALEX_REF, DEFAULT, soon())
    wallet = await wallet_of(vault)
    assert [(m.method_ref, m.is_provider_default) for m in wallet.methods] == [(FIRST, False), (AUTHENTICATED, False)]


async def test_a_wrong_base_url_is_reported(sandbox: RunningSandbox) -> None:
    opened = open_provider(ProviderName.JPMORGAN, settings_on(sandbox, jpmorgan={"base_url": f"{sandbox.url}/nowhere"}))
    try:
        with pytest.raises(VaultUnavailable, match=r"jpmorgan\.base_url"):
            await opened.check(soon())
    finally:
        await opened.close()


async def test_malformed_refs_cause_no_call(vault: JpMorganVault, sandbox: RunningSandbox) -> None:
    for ref in ("", "..", "a/b", "a?b", "x" * 65, "é", "a\n"):
        for write in (
            vault.set_default(CustomerRef(ref), FIRST, soon()),
            vault.delete(ALEX_REF, MethodRef(ref), soon()),
            vault.erase_customer(CustomerRef(ref), soon()),
        ):
            with pytest.raises(VaultRejected):
                await write
    assert sandbox.calls("jpmorgan") == []


# ---- answers that cannot be trusted -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["garbage", "truncate", "drop_after"])
async def test_a_write_with_an_unreadable_reply_is_unknown(
    vault: JpMorganVault, sandbox: RunningSandbox, kind: str
) -> None:
    before = await vault.before_add(ALEX_REF, card(), soon())
    sandbox.fault("jpmorgan", kind, method="POST", times=1)
    with pytest.raises(OutcomeUnknown):
        await vault.add(ALEX_REF, card(), before, False, soon())
    assert len([row for row in sandbox.calls("jpmorgan") if row["method"] == "POST"]) == 1


async def test_a_timeout_status_of_a_write_is_unknown(vault: JpMorganVault, sandbox: RunningSandbox) -> None:
    sandbox.fault("jpmorgan", "status", status=408, method="PATCH", times=1)
    with pytest.raises(OutcomeUnknown):
        await vault.set_default(ALEX_REF, FIRST, soon())
    sandbox.fault("jpmorgan", "status", status=408, method="GET", times=1)
    with pytest.raises(VaultTimeout):
        await vault.wallets([ALEX_REF], soon())


async def test_garbage_to_a_read_is_unreadable(vault: JpMorganVault, sandbox: RunningSandbox) -> None:
    sandbox.fault("jpmorgan", "garbage", method="GET")
    with pytest.raises(VaultReplyUnreadable):
        await vault.wallets([ALEX_REF], soon())
