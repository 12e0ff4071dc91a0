"""Builds the authentication from settings."""

from collections.abc import Callable
from pathlib import Path

from app.api.auth.api_keys import ApiKeys, KeyHasher
from app.api.auth.authentication import Authenticator
from app.api.auth.claims import ClaimRules
from app.api.auth.key_uses import KeyUseRecorder
from app.api.auth.tokens import TokenVerifier, TrustedIssuer
from app.errors import SettingsError
from app.http.jwks import Fetch, FetchedKeys, FileKeys, KeySource
from app.settings.model import AuthSettings, IssuerSettings, Settings
from app.store.clients import Clients
from app.wallet.caller import ALL_SCOPES

Fetcher = Callable[[str, str], Fetch]
"""Creates the download of a URL; also takes the name of its setting, for messages. Raises SettingsError."""


def build_callers(
    settings: Settings, clients: Clients, fetcher: Fetcher, uses: KeyUseRecorder | None = None
) -> Authenticator:
    """`fetcher` is for the issuers' `jwks_url`. Raises SettingsError."""
    hasher = KeyHasher(*settings.digest_key.reveal())
    partners = ApiKeys(clients, hasher, on_use=uses.api_key_used) if uses else ApiKeys(clients, hasher)
    return Authenticator(partners, *token_rules(settings.auth, fetcher))


def token_rules(auth: AuthSettings, fetcher: Fetcher) -> tuple[TokenVerifier | None, dict[str, ClaimRules]]:
    """The verifier, None if no tokens are accepted, and the claim rules by the issuers' names. Raises SettingsError."""
    trusted = {section: one for section, one in auth.trusted().items() if one.jwks_url or one.jwks_path}
    rules = {_name(section): _claim_rules(section, one) for section, one in {"auth": auth, **trusted}.items()}
    if auth.partners_only or not trusted:
        return None, rules
    issuers = [_issuer(section, one, auth, fetcher) for section, one in trusted.items()]
    return TokenVerifier(issuers, max_bytes=auth.max_token_bytes), rules


def _name(section: str) -> str:
    return section.removeprefix("auth").removeprefix(".issuers.")


def _issuer(section: str, one: IssuerSettings, auth: AuthSettings, fetcher: Fetcher) -> TrustedIssuer:
    if not (one.issuer and one.audience):
        raise SettingsError(f"{section}.issuer and {section}.audience must be set to accept tokens")
    keys: KeySource = (
        FetchedKeys(
            fetcher(one.jwks_url, f"{section}.jwks_url"),
            max_age_s=auth.jwks_max_age_s,
            min_interval_s=auth.jwks_min_interval_s,
            keep_for_s=auth.jwks_keep_s,
            setting=f"{section}.jwks_url",
        )
        if one.jwks_url
        else FileKeys(Path(one.jwks_path), setting=f"{section}.jwks_path")
    )
    return TrustedIssuer(
        one.issuer, tuple(one.audience), keys, _name(section), tuple(one.algorithms), leeway_s=auth.leeway_s
    )


def _claim_rules(section: str, one: IssuerSettings) -> ClaimRules:
    named = {scope for scopes in one.scopes_by_role.values() for scope in scopes} | set(one.end_user_scopes)
    if unknown := sorted(named - ALL_SCOPES):
        raise SettingsError(f"{section}: there is no scope {', '.join(unknown)}")
    if one.staff_claim == one.customer_claim:
        raise SettingsError(
            f"{section}.staff_claim and {section}.customer_claim are the same claim: it cannot prove both"
        )
    return ClaimRules(
        scope_claim=one.scope_claim,
        role_claim=one.role_claim,
        scopes_by_role=one.scopes_by_role,
        customer_claim=one.customer_claim,
        end_user_scopes=one.end_user_scopes,
        staff_claim=one.staff_claim,
        staff_values=one.staff_values,
    )
