"""Tokens: which are accepted, and every known confusion attack."""

import time
from collections.abc import Mapping
from typing import Any

import pytest

from app.api.auth.tokens import BadToken, TokenVerifier, TrustedIssuer
from app.http.jwks import KeySet, VerifyingKey
from tests.support.issuer import AUDIENCE, ISSUER, by_hand, claims, ec_key, key_set, listed, public_pem, rsa_key, token

BOTH = key_set(listed(rsa_key(), "r"), listed(ec_key(), "e"))


class Keys:
    """A key set that counts lookups."""

    def __init__(self, raw: bytes = BOTH) -> None:
        self.keys = KeySet.parse(raw)
        self.asked: list[str | None] = []

    async def find(self, key_id: str | None, algorithm: str) -> VerifyingKey | None:
        self.asked.append(key_id)
        return self.keys.find(key_id, algorithm)


def verifier(keys: Keys | None = None, **changes: Any) -> TokenVerifier:
    return TokenVerifier([TrustedIssuer(ISSUER, (AUDIENCE,), keys or Keys(), leeway_s=30)], **changes)


@pytest.mark.parametrize(("key", "algorithm", "key_id"), [(rsa_key(), "RS256", "r"), (ec_key(), "ES256", "e")])
async def test_a_valid_token_is_accepted(key: Any, algorithm: str, key_id: str) -> None:
    found = (await verifier().checked(token(key, algorithm, kid=key_id))).claims
    assert found["sub"] == "ann"
    assert (await verifier().checked(token(key, algorithm))).claims["sub"] == "ann", "one key of its kind needs no id"
    assert await verifier().checked(token(key, algorithm, kid=key_id, typ="at+jwt"))


CONFUSIONS = {
    "none": by_hand({"alg": "none", "typ": "JWT"}, claims()),
    "None": by_hand({"alg": "None", "kid": "r"}, claims()),
    "no alg": by_hand({"typ": "JWT"}, claims()),
    "alg is a list": by_hand({"alg": ["RS256"], "kid": "r"}, claims()),
    "HS256 with the RSA key's PEM": by_hand({"alg": "HS256", "kid": "r"}, claims(), public_pem(rsa_key())),
    "RS256 said, HMAC signed": by_hand({"alg": "RS256", "kid": "r"}, claims(), public_pem(rsa_key())),
    "empty HMAC key": by_hand({"alg": "HS256", "kid": "r"}, claims(), b""),
    "unsigned RS256": by_hand({"alg": "RS256", "kid": "r"}, claims()),
    "RS512": token(rsa_key(), "RS512", kid="r"),
    "PS256": token(rsa_key(), "PS256", kid="r"),
    "another key": token(rsa_key("attacker"), "RS256", kid="r"),
    "EC id, RSA algorithm": token(rsa_key("attacker"), "RS256", kid="e"),
    "unknown key": token(rsa_key("attacker"), "RS256", kid="unknown"),
    "key in the header": token(ec_key("attacker"), "ES256", jwk=listed(ec_key("attacker"))),
    "jku in the header": token(ec_key("attacker"), "ES256", jku="https://evil.test/jwks", kid="k"),
    "x5u in the header": token(ec_key("attacker"), "ES256", x5u="https://evil.test/cert", kid="../../etc/passwd"),
    "key id is SQL": token(ec_key("attacker"), "ES256", kid="' OR 1=1 --"),
    "critical extension": token(ec_key(), "ES256", kid="e", crit=["exp"]),
    "unencoded payload": by_hand({"alg": "ES256", "kid": "e", "b64": False, "crit": ["b64"]}, claims()),
    "an id token for DPoP": token(ec_key(), "ES256", kid="e", typ="dpop+jwt"),
    "typ is a number": by_hand({"alg": "ES256", "kid": "e", "typ": 5}, claims()),
    "key id is a number": by_hand({"alg": "ES256", "kid": 5}, claims()),
    "empty": "",
    "one part": "abc",
    "dots": "..",
    "five parts (encrypted)": "a.b.c.d.e",
    "not ASCII": "ü.é.ñ",
    "deep header": by_hand({"alg": "ES256", "kid": "e"}, claims()).replace("eyJ", "W1t" * 500, 1),
}


@pytest.mark.parametrize("sent", CONFUSIONS.values(), ids=CONFUSIONS.keys())
async def test_confusions_are_refused(sent: str) -> None:
    with pytest.raises(BadToken):
        await verifier().checked(sent)


NOW = int(time.time())
WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "expired": {"exp": NOW - 60},
    "never expires": {"exp": None},
    "exp is text": {"exp": "soon"},
    "exp is not a number": {"exp": float("nan")},
    "exp is endless": {"exp": float("inf")},
    "exp is huge": {"exp": 10**400},
    "not yet": {"nbf": NOW + 86_400},
    "from the future": {"iat": NOW + 86_400},
    "another issuer": {"iss": "https://evil.test/"},
    "issuer less a slash": {"iss": ISSUER.rstrip("/")},
    "no issuer": {"iss": None},
    "issuers": {"iss": [ISSUER]},
    "another audience": {"aud": "other"},
    "no audience": {"aud": None},
    "audience in part": {"aud": AUDIENCE + ".evil"},
    "nobody": {"sub": None},
    "an empty name": {"sub": ""},
    "a number": {"sub": 5},
    "a name with a line break": {"sub": "ann\nadmin"},
    "a long name": {"sub": "a" * 300},
}


@pytest.mark.parametrize("changes", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS.keys())
async def test_claims_that_are_missing_or_wrong_are_refused(changes: Mapping[str, Any]) -> None:
    with pytest.raises(BadToken):
        await verifier().checked(token(ec_key(), "ES256", claims(**changes), kid="e"))


async def test_leeway_and_several_audiences_are_accepted() -> None:
    now = int(time.time())
    said = claims(exp=now - 5, nbf=now + 5, aud=["other", AUDIENCE])
    assert await verifier().checked(token(ec_key(), "ES256", said, kid="e"))


async def test_a_long_token_is_refused_before_it_is_parsed() -> None:
    keys = Keys()
    long = token(ec_key(), "ES256", claims(filler="x" * 9_000), kid="e")
    with pytest.raises(BadToken):
        await verifier(keys).checked(long)
    assert keys.asked == []


async def test_a_verified_token_is_cached_until_it_expires() -> None:
    keys, now = Keys(), [time.time()]
    checks = verifier(keys, remember_s=60, clock=lambda: now[0])
    sent = token(ec_key(), "ES256", kid="e")
    for _ in range(5):
        await checks.checked(sent)
    assert keys.asked == ["e"]
    now[0] += 61
    await checks.checked(sent)
    assert keys.asked == ["e", "e"], "it is checked again, in case its key was taken back"


async def test_a_cached_token_is_refused_after_it_expires() -> None:
    now = [time.time()]
    checks = verifier(remember_s=10_000, clock=lambda: now[0])
    sent = token(ec_key(), "ES256", claims(exp=int(now[0]) - 10), kid="e")  # within the leeway
    await checks.checked(sent)
    assert len(checks._known) == 1
    known = checks._known.peek(next(iter(checks._known)))
    assert known is not None
    assert known.until < now[0]


async def test_the_cache_is_bounded_and_refusals_are_not_cached() -> None:
    checks = verifier(remember=3)
    for number in range(10):
        await checks.checked(token(ec_key(), "ES256", claims(sub=f"user-{number}"), kid="e"))
        with pytest.raises(BadToken):
            await checks.checked(token(ec_key("attacker"), "ES256", claims(sub=f"user-{number}"), kid="e"))
    assert len(checks._known) == 3


async def test_an_altered_token_does_not_hit_the_cache() -> None:
    checks = verifier()
    sent = token(ec_key(), "ES256", kid="e")
    await checks.checked(sent)
    head, body, signature = sent.split(".")
    other = token(ec_key("attacker"), "ES256", claims(scope="pan:write"), kid="e").split(".")[1]
    for altered in (f"{head}.{other}.{signature}", f"{head}.{body}.{signature[:-4]}AAAA", f"{head}.{body}."):
        with pytest.raises(BadToken):
            await checks.checked(altered)
