"""Maps J.P. Morgan's refusals to typed outcomes. Its codes are unpublished: the HTTP status decides."""

import re
from typing import Any, Final

from app.errors import (
    FieldFault,
    RejectReason,
    VaultError,
    VaultRefusedUs,
    VaultRejected,
    VaultReplyUnreadable,
    VaultTimeout,
)
from app.http.message import Effect, VaultReply
from app.providers.base import body_of, fault, request_id_of
from app.providers.jpmorgan.mapping import NAME, profile_id_of
from app.providers.write_outcome import WriteAnswers

_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{2,50}")
_PROFILE: Final = re.compile(r"profile|consumer", re.I)
_PART: Final = re.compile(r"method|address|communication", re.I)
_FIELD_MESSAGE: Final = "J.P. Morgan refuses this field."
_PATH_OF_LEAF: Final[dict[str, tuple[str, ...]]] = {
    "accountNumber": ("secret",),
    "internationalBankAccountNumber": ("secret",),
    "cardExpirationMonthYearNumber": ("expiry",),
    "cardType": ("brand",),
    "financialInstitutionRoutingNumber": ("routing_number",),
    "internationalBusinessIdentifierCode": ("bic",),
    "bankSortCode": ("sort_code",),
    "accountType": ("account_type",),
    "mandateId": ("mandate_id",),
    "mandateSignatureDate": ("mandate_signed_on",),
    "accountStatus": ("active",),
    "authenticationReturnUrl": ("authenticate", "return_url"),
    "encryptedPayload": ("secret",),
    "cardOnFileReferenceNumber": ("card_on_file_reference",),
    **{
        leaf: ("authenticate", "browser_info", name)
        for leaf, name in (
            ("browserAcceptHeader", "accept_header"),
            ("browserUserAgent", "user_agent"),
            ("browserLanguage", "language"),
            ("browserScreenHeight", "screen_height"),
            ("browserScreenWidth", "screen_width"),
            ("browserColorDepth", "color_depth"),
            ("deviceLocalTimeZone", "time_zone"),
            ("javaEnabled", "java_enabled"),
            ("javaScriptEnabled", "java_script_enabled"),
            ("challengeWindowSize", "challenge_window_size"),
            ("deviceIPAddress", "ip_address"),
        )
    },
    "firstName": ("first_name",),
    "lastName": ("last_name",),
    "line1": ("billing_address", "line1"),
    "line2": ("billing_address", "line2"),
    "city": ("billing_address", "city"),
    "state": ("billing_address", "region"),
    "postalCode": ("billing_address", "postal_code"),
    "countryCode": ("billing_address", "country"),
    "addressType": ("address_labels", "type"),
    "consumerAssignedAddressName": ("address_labels", "name"),
    "primaryAddressIndicator": ("address_labels", "is_primary"),
}
_PATH_IN_ADDRESS: Final[dict[str, tuple[str, ...]]] = {
    "firstName": ("address_labels", "recipient", "first"),
    "lastName": ("address_labels", "recipient", "last"),
}
_PATH_IN_UPDATE: Final[dict[str, tuple[str, ...]]] = {
    "firstName": ("holder", "first"),
    "lastName": ("holder", "last"),
}
EXTERNAL_ID_FIELD: Final = "externalConsumerProfileIdentifier"


def _is_profile(body: Any) -> bool:
    return bool(profile_id_of(body))


def _is_accepted(body: Any) -> bool:
    return bool(body["responseStatus"] == "SUCCESS")


def _is_messages(body: Any) -> bool:
    """`messages`: the declared body of every error but 401."""
    return body["responseStatus"] == "ERROR" and _code(body) is not None


def is_challenge(reply: VaultReply) -> bool:
    """`adfsError`, the declared body of a 401."""
    body = body_of(reply)
    return isinstance(body, dict) and {"errorSource", "errorCode", "errorDescription"} <= body.keys()


_REFUSED: Final = dict.fromkeys((400, 403), _is_messages)
METHOD_ADDED: Final = WriteAnswers(
    applied=dict.fromkeys((200, 201), _is_profile), refused={**_REFUSED, 404: _is_messages}
)
"""``POST .../payment-methods``. Declared, as everywhere: 200 with the profile; 400, 403, 404 with `messages`; 408."""
PROFILE_CREATED: Final = WriteAnswers(applied=dict.fromkeys((200, 201), _is_profile), refused=_REFUSED)
METHOD_CHANGED: Final = WriteAnswers(applied={200: _is_profile}, refused={**_REFUSED, 404: _is_messages})
"""``PATCH .../payment-methods/{id}`` and its ``/default``."""
METHOD_DELETED: Final = WriteAnswers(applied={200: _is_profile}, refused=_REFUSED, over=frozenset({404}))
PROFILE_DELETED: Final = WriteAnswers(applied={200: _is_accepted}, refused=_REFUSED, over=frozenset({404}))
"""After a 404 to a deletion the method may be gone, or still exist: only the list decides."""


def refusal(
    reply: VaultReply, effect: Effect, missing: RejectReason, *, is_update: bool = False, sent_id: str | None = None
) -> VaultError:
    """The error for a reply that is not 200.

    `missing` is what a 404 means for this operation. A READ treats its customer as unknown only if J.P. Morgan's error
    body says so: another server at the address, and a path that it lacks, return 404 too.
    """
    body = body_of(reply)
    code = _code(body) or f"HTTP_{reply.status}"
    request_id = _request_id(body) or request_id_of(reply) or sent_id
    if reply.status == 408 and effect is Effect.READ:
        return VaultTimeout(NAME, provider_code=code, provider_request_id=request_id)
    if reply.status in (401, 403):
        return VaultRefusedUs(NAME, provider_code=code, provider_request_id=request_id)
    if effect is Effect.READ and not (reply.status == 404 and _names_profile(body)):
        return VaultReplyUnreadable(NAME, provider_code=code, provider_request_id=request_id)
    return VaultRejected(
        NAME,
        missing if reply.status == 404 else _reason(reply.status, body),
        provider_code=code,
        faults=faults_in(body, is_update=is_update),
        provider_request_id=request_id,
    )


def names_profile(reply: VaultReply) -> bool:
    """True if an error concerns the consumer profile itself, not one of its payment methods."""
    return _names_profile(body_of(reply))


def _names_profile(body: Any) -> bool:
    """Decided by code or message: the codes are not published."""
    texts = (body.get("responseCode"), body.get("responseMessage")) if isinstance(body, dict) else ()
    words = " ".join(word for word in texts if isinstance(word, str))
    return _code(body) is not None and bool(_PROFILE.search(words)) and not _PART.search(words)


def is_theirs(reply: VaultReply) -> bool:
    """True if an error has J.P. Morgan's body, not that of another server at the same address."""
    return _code(body_of(reply)) is not None


def faults_in(body: Any, *, is_update: bool = False) -> list[FieldFault]:
    """`validationErrors` with this model's field names, each once. The vault's texts may quote values and
    are replaced.
    """
    paths = (_PATH_OF_LEAF | _PATH_IN_UPDATE) if is_update else _PATH_OF_LEAF
    found = (
        (paths | _PATH_IN_ADDRESS if "Address" in parent else paths).get(leaf)
        for parent, _, leaf in (entity.rpartition(".") for entity in _entities(body))
    )
    return [fault(*path, message=_FIELD_MESSAGE) for path in dict.fromkeys(path for path in found if path)]


def _reason(status: int, body: Any) -> RejectReason:
    """Decided by status, with two exceptions: a kind that the merchant may not use, and a duplicate external id.

    A refused external id has passed validation, so nothing else can be wrong with it.
    """
    if _code(body) == "NOT_ENTITLED":
        return RejectReason.NOT_ENABLED
    if any(entity.endswith(EXTERNAL_ID_FIELD) for entity in _entities(body)):
        return RejectReason.DUPLICATE_CUSTOMER
    return RejectReason.INVALID_INPUT if status == 400 else RejectReason.CONTRACT


def _entities(body: Any) -> list[str]:
    errors = body.get("validationErrors") if isinstance(body, dict) else None
    if not isinstance(errors, list):
        return []
    named = (error.get("entity") for error in errors if isinstance(error, dict))
    return [entity for entity in named if isinstance(entity, str)]


def _code(body: Any) -> str | None:
    """`responseCode` of `messages`, or `errorCode` of the edge server's error body."""
    if not isinstance(body, dict):
        return None
    code = body.get("responseCode") or body.get("errorCode")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else None


def _request_id(body: Any) -> str | None:
    found = body.get("requestId") if isinstance(body, dict) else None
    return found[:128] if isinstance(found, str) else None
