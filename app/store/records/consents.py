"""Consents to storing a payment method."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.store.records.directory import MethodAddress


class ConsentChannel(StrEnum):
    """Where the text was shown or read out."""

    WEB = "WEB"
    MOBILE_APP = "MOBILE_APP"
    PHONE = "PHONE"
    IN_PERSON = "IN_PERSON"
    WRITTEN = "WRITTEN"
    OTHER = "OTHER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """Who agreed, when, where, and to which text: the SHA-256 of its bytes, in 64 lower-case hex digits."""

    agreed_by: str
    agreed_at: datetime
    channel: ConsentChannel
    text_sha256: str
    text_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRecord:
    """A consent as stored; `recorded_by` is the caller of the write that brought it."""

    method: MethodAddress
    customer_id: str
    consent: Consent
    recorded_at: datetime
    recorded_by: str
