"""Authenticates requests. All invalid credentials get the same response."""

import logging
import time
from collections.abc import Mapping
from typing import Final

from app.api.auth.api_keys import ApiKeys, looks_like_key
from app.api.auth.claims import ClaimRules, caller_of
from app.api.auth.tokens import BadToken, TokenVerifier, VerifiedToken
from app.api.headers import RequestHead
from app.api.problems import RequestRefused
from app.http.jwks import KeysUnavailable
from app.store.errors import StoreUnavailable
from app.wallet.caller import Caller, CallerKind

_log = logging.getLogger("vaultgraph.auth")
_CHALLENGE: Final = {"www-authenticate": 'Bearer realm="vaultgraph"'}
_LONGEST: Final = 16_384


class Authenticator:
    """Authenticates tokens by `verifier`, if an issuer is configured, and API keys by `partners`. Anonymous requests
    are refused.
    """

    def __init__(self, partners: ApiKeys, verifier: TokenVerifier | None, rules: Mapping[str, ClaimRules]) -> None:
        """`rules` by the names of the verifier's issuers."""
        self.partners = partners
        self.accept_tokens(verifier, rules)

    def accept_tokens(self, verifier: TokenVerifier | None, rules: Mapping[str, ClaimRules]) -> None:
        """Replace the issuers whose tokens are accepted; None: accept none."""
        self._verifier = verifier
        self._rules = rules

    def known(self, headers: Mapping[str, str]) -> Caller | None:
        """The caller of a token that was verified a moment ago; None if `authenticate` must find out."""
        verified = self._known(headers)
        return None if verified is None else verified.caller

    def recognise(self, head: RequestHead) -> Caller | None:
        """As `known`. The token of a head that is sent again is looked up once, while its verification lasts."""
        verified: VerifiedToken | None = head.verified
        if verified is None or verified.verifier is not self._verifier or verified.verifier.clock() >= verified.until:
            head.verified = verified = self._known(head.headers)
        return None if verified is None else verified.caller

    def _known(self, headers: Mapping[str, str]) -> VerifiedToken | None:
        if self._verifier is None or "authorization" not in headers or "x-api-key" in headers:
            return None
        bearer = headers["authorization"]
        return self._verifier.known(bearer[7:]) if bearer[:7] == "Bearer " else None

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """`headers` have lower-case names. Raises RequestRefused."""
        bearer, key = headers.get("authorization"), headers.get("x-api-key")
        if bearer is not None and key is not None:
            raise unauthenticated("Send one kind of credentials, not two.")
        if key is not None:
            return await self._partner(key.strip(" "))
        return await self._bearer(bearer)

    async def authenticate_payload(self, payload: object) -> Caller:
        """Authenticate by the payload of a WebSocket's `connection_init`.

        Reads its member `authorization`, in any case, with or without the word Bearer. Some clients send it twice, from
        two places of their configuration, which is accepted if both are equal. Raises RequestRefused.
        """
        if not isinstance(payload, Mapping):
            raise unauthenticated()
        found = [value for name, value in payload.items() if str(name).lower() == "authorization"]
        if not all(isinstance(value, str) for value in found):
            raise unauthenticated()
        different = {value if " " in value else f"Bearer {value}" for value in found}
        if len(different) != 1:
            raise unauthenticated()
        return await self._bearer(different.pop())

    async def revalidate(self, caller: Caller) -> Caller | None:
        """The caller's current rights, for connections and streams; None if its token has expired, its key was removed
        or the partner was disabled.
        """
        if caller.kind is CallerKind.PARTNER:
            try:
                return await self.partners.revalidate(caller)
            except StoreUnavailable:  # keep the caller during an outage; new requests are still checked
                return caller
        return caller if caller.expires_at is None or time.time() < caller.expires_at else None

    async def _bearer(self, value: str | None) -> Caller:
        if value is None:
            raise unauthenticated()
        scheme, _, credentials = value.strip(" ").partition(" ")
        credentials = credentials.strip(" ")
        if len(value) > _LONGEST or scheme.lower() != "bearer" or not credentials or " " in credentials:
            _log.info("a token was refused: malformed: expected the word Bearer and a token")
            raise unauthenticated()
        if looks_like_key(credentials):
            return await self._partner(credentials)
        return await self._token(credentials)

    async def _partner(self, key: str) -> Caller:
        caller = await self.partners.caller(key)
        if caller is None:
            _log.info("an API key was refused: %s", self.partners.why_refused(key))
            raise unauthenticated()
        return caller

    async def _token(self, token: str) -> Caller:
        if self._verifier is None:
            _log.info("a token was refused: no issuer is configured, only API keys are accepted")
            raise unauthenticated()
        try:
            checked = await self._verifier.checked(token)
            if checked.caller is None:
                checked.caller = caller_of(checked.claims, self._rules[checked.issuer.name], checked.issuer.name)
            caller: Caller = checked.caller
            return caller
        except BadToken as error:
            _log.info("a token was refused: %s: %s", error.fault.value, error)
            raise unauthenticated() from None
        except KeysUnavailable:
            detail = "Tokens cannot be verified at the moment: try again later."
            raise RequestRefused("OVERLOADED", detail, headers={"retry-after": "5"}) from None


def unauthenticated(detail: str | None = None) -> RequestRefused:
    return RequestRefused("UNAUTHENTICATED", detail, headers=dict(_CHALLENGE))
