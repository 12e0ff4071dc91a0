"""Mapping claims to callers: what settings can configure, and what they cannot."""

from typing import Any

import pytest

from app.api.auth.claims import END_USER_SCOPES, ClaimRules, caller_of
from app.api.auth.compose import build_callers
from app.api.auth.tokens import BadToken
from app.errors import SettingsError
from app.settings.model import AuthSettings, Settings
from app.vault.secret import Secrets
from app.wallet.caller import ALL_SCOPES, CallerKind

SUBJECT = {"sub": "ann", "exp": 2_000_000_000}


def made(rules: ClaimRules | None = None, **claims: Any) -> Any:
    """An end user if `claims` name a customer, else staff."""
    return caller_of({"vaultgraph_staff": True, **SUBJECT, **claims}, rules or ClaimRules())


@pytest.mark.parametrize("said", ["customers:read explore", ["customers:read", "explore"]])
def test_scopes_come_as_text_or_as_a_list(said: object) -> None:
    caller = made(scope=said)
    assert (caller.kind, caller.name, caller.key) == (CallerKind.STAFF, "ann", "staff:ann")
    assert caller.scopes == {"customers:read", "explore"}
    assert (caller.acting_customer, caller.granted, caller.expires_at) == (None, None, 2_000_000_000)


@pytest.mark.parametrize(
    "said",
    [
        "Customers:Read", "customers:*", "*", "customers", "pan:write\u200b", "pan\uff1awrite", "p\u0430n:write",
        "pan:write\n", "pan:write\x00", "pan:write,explore", "pan:write\texplore", "PAN:WRITE", "",
        ["pan:write "], [["pan:write"]], [5, None, {"pan:write": True}], {"pan:write": True}, 5, None, True,
    ],
)  # fmt: skip
def test_only_exact_scope_names_grant_scopes(said: object) -> None:
    assert made(scope=said).scopes == frozenset()


def test_roles_map_to_scopes_by_setting() -> None:
    rules = ClaimRules(
        role_claim="realm_access.roles",
        scopes_by_role={"support": ["customers:read"], "ops": ["audit:read", "nonsense"]},
    )
    said = {"realm_access": {"roles": ["support", "ops", "unknown", 5]}}
    assert made(rules, **said).scopes == {"customers:read", "audit:read"}
    assert made(rules, **said, scope="explore").scopes == {"customers:read", "audit:read", "explore"}
    assert made(rules, realm_access={"roles": {"support": True}}).scopes == frozenset()
    assert made(rules, realm_access="support").scopes == frozenset()


def test_a_claim_of_the_full_name_wins_over_the_path() -> None:
    rules = ClaimRules(scope_claim="https://shop.test/scopes", customer_claim="https://shop.test/customer")
    caller = made(rules, **{"https://shop.test/scopes": ["explore"], "https://shop.test/customer": "cus_a"})
    assert (caller.scopes, caller.acting_customer) == ({"explore"}, "cus_a")


def test_a_customer_makes_an_end_user() -> None:
    caller = made(customer_id="cus_alex", scope=" ".join(ALL_SCOPES))
    assert (caller.kind, caller.key, caller.acting_customer) == (CallerKind.END_USER, "user:ann", "cus_alex")
    assert caller.scopes == END_USER_SCOPES
    assert caller.expires_at == 2_000_000_000
    assert caller.may_see("cus_alex")
    assert not caller.may_see("cus_blair")


def test_roles_give_an_end_user_no_staff_scopes() -> None:
    rules = ClaimRules(scopes_by_role={"admin": sorted(ALL_SCOPES)}, end_user_scopes=sorted(ALL_SCOPES))
    assert made(rules, customer_id="cus_a", roles=["admin"]).scopes == END_USER_SCOPES
    assert made(rules, customer_id="cus_a").scopes == END_USER_SCOPES
    assert not END_USER_SCOPES & {"pan:write", "links:write", "customers:erase", "audit:read", "import:write"}


def test_an_end_user_without_scopes_has_the_usual_ones_and_staff_none() -> None:
    assert made(customer_id="cus_a").scopes == {"customers:read", "payment_methods:read"}
    assert made(customer_id="cus_a", scope="").scopes == frozenset()
    assert made().scopes == frozenset()


NO_IDS = [None, "", "alex", "cus_", 5, ["cus_a"], {"id": "cus_a"}, True, "cus_\u0430", "cus_a cus_b", "cus_a\n"]


@pytest.mark.parametrize("said", NO_IDS)
def test_a_customer_claim_without_an_id_never_makes_staff(said: object) -> None:
    with pytest.raises(BadToken):
        made(customer_id=said, scope=" ".join(ALL_SCOPES))


@pytest.mark.parametrize(
    "said",
    [{"vg.customer_id": one} for one in NO_IDS]
    + [{"vg": {"customer_id": one}} for one in NO_IDS]
    + [{"vg": one} for one in ("cus_alex", None, "", 5, ["cus_alex"], [{"customer_id": "cus_alex"}], True)]
    + [{"vg.customer_id": "cus_alex", "vg": {"customer_id": "cus_sam"}}, {"vg.customer_id": "cus_a", "vg": "cus_a"}],
)
def test_a_customer_claim_with_a_path_and_no_id_never_makes_staff(said: dict[str, Any]) -> None:
    with pytest.raises(BadToken):
        made(ClaimRules(customer_claim="vg.customer_id"), scope=" ".join(ALL_SCOPES), **said)


@pytest.mark.parametrize(
    "said",
    [
        {"vg": {"customer_id": "cus_alex"}},
        {"vg.customer_id": "cus_alex"},
        {"vg.customer_id": "cus_alex", "vg": {"customer_id": "cus_alex"}},
        {"vg.customer_id": "cus_alex", "vg": {}},
    ],
)
def test_a_dotted_name_is_a_path_or_a_full_name(said: dict[str, Any]) -> None:
    caller = made(ClaimRules(customer_claim="vg.customer_id"), **said)
    assert (caller.kind, caller.acting_customer) == (CallerKind.END_USER, "cus_alex"), "even of a token that says staff"


@pytest.mark.parametrize(
    "said", [{}, {"vg": {}}, {"vaultgraph_staff": False}, {"vaultgraph_staff": "yes"}, {"Vaultgraph_staff": True},
             {"vaultgraph_staff": 1}, {"vaultgraph_staff": [True]}, {"vaultgraph_staff": {"true": True}},
             {"vaultgraph_staff": None}, {"customerId": "cus_alex"}],
)  # fmt: skip
def test_staff_needs_a_claim_and_is_never_the_default(said: dict[str, Any]) -> None:
    with pytest.raises(BadToken, match="neither the customer claim nor the staff claim"):
        caller_of({**SUBJECT, "scope": " ".join(ALL_SCOPES), **said}, ClaimRules(customer_claim="vg.customer_id"))


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (ClaimRules(), {"vaultgraph_staff": True}),
        (ClaimRules(), {"vaultgraph_staff": "true"}),
        (ClaimRules(staff_claim="realm.roles", staff_values=["clerk", "boss"]), {"realm": {"roles": ["a", "boss"]}}),
        (ClaimRules(staff_claim="scope", staff_values=["vaultgraph:staff"]), {"scope": "explore vaultgraph:staff"}),
    ],
)
def test_the_staff_claim_is_a_setting(rules: ClaimRules, said: dict[str, Any]) -> None:
    caller = caller_of({**SUBJECT, **said}, rules)
    assert (caller.kind, caller.key, caller.acting_customer) == (CallerKind.STAFF, "staff:ann", None)


def test_one_claim_cannot_prove_a_customer_and_staff() -> None:
    auth = AuthSettings(customer_claim="who", staff_claim="who")
    with pytest.raises(SettingsError, match=r"auth\.staff_claim and auth\.customer_claim"):
        build_callers(Settings(auth=auth, digest_key=Secrets("d" * 32)), None, None)  # type: ignore[arg-type]
