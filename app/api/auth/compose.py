"""Builds the authentication from settings."""

from pathlib import Path

from app.api.auth.api_keys import ApiKeys, KeyHasher
from app.api.auth.authentication import Authenticator
from app.api.auth.claims import ClaimRules
from app.api.auth.key_uses import KeyUseRecorder
from app.api.auth.tokens import TokenRules, TokenVerifier
from app.errors import SettingsError
from app.http.jwks import Fetch, FetchedKeys, FileKeys, KeySource
from app.settings.model import AuthSettings, Settings
from app.store.clients import Clients
from app.wallet.caller import ALL_SCOPES


def build_callers(
    settings: Settings, clients: Clients, fetch: Fetch | None, uses: KeyUseRecorder | None = None
) -> Authenticator:
    """`fetch` downloads `auth.jwks_url`, if set. Raises SettingsError."""
    auth = settings.auth
    hasher = KeyHasher(*settings.digest_key.reveal())
    partners = ApiKeys(clients, hasher, on_use=uses.api_key_used) if uses else ApiKeys(clients, hasher)
    return Authenticator(partners, _verifier(auth, fetch), _claim_rules(auth))


def _verifier(auth: AuthSettings, fetch: Fetch | None) -> TokenVerifier | None:
    if auth.partners_only or not (fetch or auth.jwks_path):
        return None
    if not (auth.issuer and auth.audience):
        raise SettingsError("auth.issuer and auth.audience must be set to accept tokens")
    keys: KeySource = (
        FetchedKeys(
            fetch,
            max_age_s=auth.jwks_max_age_s,
            min_interval_s=auth.jwks_min_interval_s,
            keep_for_s=auth.jwks_keep_s,
        )
        if fetch
        else FileKeys(Path(auth.jwks_path))
    )
    rules = TokenRules(auth.issuer, tuple(auth.audience), leeway_s=auth.leeway_s, max_bytes=auth.max_token_bytes)
    return TokenVerifier(keys, rules)


def _claim_rules(auth: AuthSettings) -> ClaimRules:
    named = {scope for scopes in auth.scopes_by_role.values() for scope in scopes} | set(auth.end_user_scopes)
    if unknown := sorted(named - ALL_SCOPES):
        raise SettingsError(f"auth: there is no scope {', '.join(unknown)}")
    if auth.staff_claim == auth.customer_claim:
        raise SettingsError("auth.staff_claim and auth.customer_claim are the same claim: it cannot prove both")
    return ClaimRules(
        scope_claim=auth.scope_claim,
        role_claim=auth.role_claim,
        scopes_by_role=auth.scopes_by_role,
        customer_claim=auth.customer_claim,
        end_user_scopes=auth.end_user_scopes,
        staff_claim=auth.staff_claim,
        staff_values=auth.staff_values,
    )
