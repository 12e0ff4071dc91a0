"""The forms in which a request names its document, parsed into one id.

- ``extensions.persistedQuery.sha256Hash``: Apollo's clients and urql, with a hash or with any id of a manifest
- ``documentId``, of the draft on persisted documents: ``sha256:`` with a hash, ``x-...:``, or an id without a colon
- ``doc_id`` and ``id``: Relay's, parsed like `documentId`
- the path of ``GET /graphql/{documentId}``

https://github.com/graphql/graphql-over-http, "Appendix: Persisted Documents".
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from app.api.problems import RequestRefused
from app.api.request import GraphQLRequest
from app.vault.pan import looks_like_card_number

ID: Final = re.compile(r"[A-Za-z0-9_.:\-]{1,200}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_SHA256: Final = "sha256:"


def is_sha256(text: str) -> bool:
    """Only lower-case hex, the spelling that servers must accept."""
    return _HASH.fullmatch(text) is not None


def spellings(document_id: str) -> tuple[str, ...]:
    """The ids under which it may be published, preferred first: build tools write hashes with or without prefix."""
    if document_id.startswith(_SHA256):
        return document_id, document_id[len(_SHA256) :]
    return (document_id, _SHA256 + document_id) if is_sha256(document_id) else (document_id,)


def hash_of(document_id: str) -> str | None:
    """The SHA-256 in an id, if it is one."""
    bare = document_id.removeprefix(_SHA256)
    return bare if is_sha256(bare) else None


def id_of(request: GraphQLRequest) -> str | None:
    """The id that the request gives for its document, or None. Raises RequestRefused(BAD_REQUEST)."""
    named = None if request.document_id is None else _checked(request.document_id)
    persisted = request.extensions.get("persistedQuery") if request.extensions else None
    if persisted is None:
        return named
    hashed = _of_extension(persisted)
    if named is not None and hashed not in spellings(named):
        raise RequestRefused("BAD_REQUEST", "The document is named twice, by different ids.")
    return hashed


def is_hash_extension(request: GraphQLRequest) -> bool:
    """True if the client uses the protocol of automatic persisted queries."""
    return "persistedQuery" in request.extensions


def _of_extension(persisted: Any) -> str:
    if not isinstance(persisted, Mapping):
        raise RequestRefused("BAD_REQUEST", "The extension persistedQuery must be an object.")
    version = persisted.get("version")
    if version != 1 or isinstance(version, bool):
        raise RequestRefused("BAD_REQUEST", "This version of persistedQuery is not supported.")
    hashed = persisted.get("sha256Hash")
    if not isinstance(hashed, str) or ID.fullmatch(hashed) is None:
        raise RequestRefused("BAD_REQUEST", "The member sha256Hash is not an id.")
    return hashed


def fault_in(document_id: str) -> str | None:
    """What is wrong with an id, as a sentence; None if it is valid."""
    if ID.fullmatch(document_id) is None:
        return "An id is 1 to 200 letters, digits, and . _ : -."
    if looks_like_card_number(document_id):
        return "An id must not contain a card number."
    prefix, colon, rest = document_id.partition(":")
    if colon and prefix == "sha256":
        return None if is_sha256(rest) else "sha256: is followed by 64 lower-case hexadecimal digits."
    if colon and not prefix.startswith("x-"):
        return "The id's prefix is unknown: use sha256: or x-...:."
    return None


def _checked(document_id: str) -> str:
    if fault := fault_in(document_id):
        raise RequestRefused("BAD_REQUEST", fault)
    return document_id
