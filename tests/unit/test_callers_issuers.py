"""Several issuers: each token is checked by the rules of the one it names."""

from pathlib import Path
from typing import Any

import pytest

from app.api.auth.authentication import Authenticator
from app.api.auth.compose import build_callers, token_rules
from app.api.auth.tokens import BadToken, TokenFault, TokenVerifier
from app.api.problems import RequestRefused
from app.errors import SettingsError
from app.http.jwks import Fetch
from app.settings.model import Settings, load_settings
from app.settings.required import missing_settings, unsafe_settings
from app.wallet.caller import CallerKind
from tests.support.issuer import claims, ec_key, key_set, listed, rsa_key, token

SHOP, BANK = "https://shop.test/", "https://bank.test/"
DIGEST_KEY = "a digest key 0123456789 abcdefghijklmn"


def no_fetch(url: str, setting: str) -> Fetch:
    raise AssertionError("no key set is fetched here")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A single issuer in the section itself, and two more: the same key id at each, with different keys."""
    for name, key in (("staff", ec_key("staff")), ("shop", ec_key("shop")), ("bank", rsa_key("bank"))):
        (tmp_path / f"{name}.json").write_bytes(key_set(listed(key, "k1")))
    auth: dict[str, Any] = {
        "issuer": "https://staff.test/",
        "audience": ["vaultgraph"],
        "jwks_path": str(tmp_path / "staff.json"),
        "issuers": {
            "shop": {
                "issuer": SHOP,
                "audience": ["shop-api"],
                "jwks_path": str(tmp_path / "shop.json"),
                "customer_claim": "https://shop.test/customer",
                "end_user_scopes": ["customers:read"],
            },
            "bank": {
                "issuer": BANK,
                "audience": ["vaultgraph"],
                "jwks_path": str(tmp_path / "bank.json"),
                "algorithms": ["RS256"],
                "staff_claim": "groups",
                "staff_values": ["tellers"],
                "role_claim": "groups",
                "scopes_by_role": {"tellers": ["customers:read", "links:read"]},
            },
        },
    }
    return load_settings(None, {}, auth=auth, digest_key=DIGEST_KEY, id_key=DIGEST_KEY[::-1])


def verifier(settings: Settings) -> TokenVerifier:
    found, _ = token_rules(settings.auth, no_fetch)
    assert found is not None
    return found


@pytest.fixture
def callers(settings: Settings) -> Authenticator:
    return build_callers(settings, None, no_fetch)  # type: ignore[arg-type]


def bearer(sent: str) -> dict[str, str]:
    return {"authorization": f"Bearer {sent}"}


async def test_each_issuers_claims_are_read_by_its_own_rules(callers: Authenticator) -> None:
    sent = token(ec_key("staff"), "ES256", claims(iss="https://staff.test/"), kid="k1")
    staff = await callers.authenticate(bearer(sent))
    assert (staff.kind, staff.key, staff.scopes) == (CallerKind.STAFF, "staff:ann", {"customers:read"})
    said = claims(
        iss=SHOP, aud="shop-api", scope=None, **{"https://shop.test/customer": "cus_a", "customer_id": "cus_b"}
    )
    user = await callers.authenticate(bearer(token(ec_key("shop"), "ES256", said, kid="k1")))
    assert (user.kind, user.acting_customer, user.scopes) == (CallerKind.END_USER, "cus_a", {"customers:read"})
    assert user.key == "user@shop:ann"
    said = claims(iss=BANK, scope=None, vaultgraph_staff=None, groups=["tellers"])
    teller = await callers.authenticate(bearer(token(rsa_key("bank"), "RS256", said, kid="k1")))
    assert (teller.key, teller.scopes) == ("staff@bank:ann", {"customers:read", "links:read"})


@pytest.mark.parametrize(
    ("key", "algorithm", "changes", "fault"),
    [
        (ec_key("shop"), "ES256", {"iss": "https://evil.test/"}, TokenFault.UNKNOWN_ISSUER),
        (ec_key("shop"), "ES256", {"iss": SHOP.rstrip("/")}, TokenFault.UNKNOWN_ISSUER),
        (ec_key("shop"), "ES256", {"iss": [SHOP]}, TokenFault.UNKNOWN_ISSUER),
        (ec_key("shop"), "ES256", {"iss": None}, TokenFault.UNKNOWN_ISSUER),
        (ec_key("shop"), "ES256", {"iss": "https://staff.test/"}, TokenFault.SIGNATURE),
        (ec_key("staff"), "ES256", {"iss": SHOP, "aud": "shop-api"}, TokenFault.SIGNATURE),
        (ec_key("shop"), "ES256", {"iss": SHOP, "aud": "vaultgraph"}, TokenFault.AUDIENCE),
        (ec_key("shop"), "ES256", {"iss": BANK}, TokenFault.ALGORITHM),
        (rsa_key("bank"), "RS256", {"iss": SHOP, "aud": "shop-api"}, TokenFault.UNKNOWN_KEY),
        (rsa_key("bank"), "RS256", {"iss": BANK, "exp": 1}, TokenFault.EXPIRED),
    ],
)
async def test_a_token_of_another_issuer_is_refused_with_the_reason(
    settings: Settings, key: Any, algorithm: str, changes: dict[str, Any], fault: TokenFault
) -> None:
    with pytest.raises(BadToken) as refused:
        await verifier(settings).checked(token(key, algorithm, claims(**changes), kid="k1"))
    assert refused.value.fault is fault


async def test_the_log_has_the_reason_and_no_token(callers: Authenticator, caplog: pytest.LogCaptureFixture) -> None:
    sent = token(ec_key("shop"), "ES256", claims(iss="https://evil.test/"), kid="k1")
    with caplog.at_level("INFO", "vaultgraph.auth"), pytest.raises(RequestRefused) as refused:
        await callers.authenticate(bearer(sent))
    assert refused.value.code == "UNAUTHENTICATED"
    (record,) = caplog.records
    assert "unknown_issuer" in record.getMessage()
    assert "evil" not in record.getMessage()


def issuer(**more: Any) -> dict[str, Any]:
    return {"issuer": SHOP, "audience": ["a"], "jwks_url": "https://shop.test/keys", **more}


def test_settings_of_issuers() -> None:
    names = ("ISSUER", "AUDIENCE", "JWKS_URL", "ALGORITHMS")
    values = (SHOP, "one, two", "https://shop.test/keys", "ES256")
    environ = {f"VAULTGRAPH_AUTH__ISSUERS__SHOP__{name}": value for name, value in zip(names, values, strict=True)}
    shop = load_settings(None, environ).auth.issuers["shop"]
    assert (shop.issuer, shop.audience, shop.algorithms) == (SHOP, ["one", "two"], ["ES256"])


@pytest.mark.parametrize(
    ("auth", "said"),
    [
        ({"issuers": {"shop": issuer(jwks="x")}}, "auth.issuers.shop.jwks: there is no such setting"),
        ({"issuers": {"shop": issuer(algorithms=["HS256"])}}, "auth.issuers.shop.algorithms: Expected one of"),
        ({"issuers": {"shop": "https://shop.test/"}}, "auth.issuers.shop: Expected a section"),
        ({"issuers": {"The Shop": issuer()}}, "auth: issuers: names have"),
        ({"issuers": {"a": issuer(), "b": issuer()}}, "auth: issuers: two have the same issuer"),
        ({"issuer": SHOP, "issuers": {"a": issuer()}}, "auth: issuers: two have the same issuer"),
    ],
)
def test_wrong_settings_of_issuers_are_named(auth: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(None, {}, auth=auth)
    assert str(refused.value).startswith(said)


def test_what_an_issuer_lacks_is_named() -> None:
    def missing(**auth: Any) -> list[str]:
        found = missing_settings(load_settings(None, {}, auth=auth))["gateway"]
        return [name for name in found if name.startswith("auth")]

    assert missing(issuers={"shop": issuer()}) == []
    assert missing(issuers={"shop": issuer(audience=[])}) == ["auth.issuers.shop.audience"]
    lacking = missing(issuers={"shop": issuer(jwks_url="")})
    assert lacking == ["auth.issuers.shop.jwks_url or auth.issuers.shop.jwks_path (or auth.partners_only)"]
    openly = load_settings(None, {}, auth={"issuers": {"shop": issuer(jwks_url="http://shop.test/keys")}})
    assert [one.partition(":")[0] for one in unsafe_settings(openly)["gateway"]] == ["auth.issuers.shop.jwks_url"]
    with pytest.raises(SettingsError, match=r"auth\.issuers\.shop: there is no scope all"):
        token_rules(load_settings(None, {}, auth={"issuers": {"shop": issuer(end_user_scopes=["all"])}}).auth, no_fetch)
