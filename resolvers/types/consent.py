"""Consents to storing a payment method."""

from datetime import datetime
from typing import Self

import strawberry

from app.store.records import Consent, ConsentChannel
from resolvers.enums import register

register(
    ConsentChannel,
    "Where the text of a consent was shown or read out. Open enum: clients must tolerate values added later.",
    {
        "WEB": "On a web page.",
        "MOBILE_APP": "In an app on a phone or tablet.",
        "PHONE": "In a telephone call.",
        "IN_PERSON": "Face to face, for example at a till.",
        "WRITTEN": "On paper or by e-mail.",
        "OTHER": "In another way.",
    },
)


@strawberry.type(
    name="Consent",
    description="The agreement under which a payment method was stored, as the caller that added it recorded it.",
)
class GraphConsent:
    agreed_by: str = strawberry.field(description="Who agreed, as the caller wrote it.")
    agreed_at: datetime = strawberry.field(description="When they agreed.")
    channel: ConsentChannel = strawberry.field(description="Where the text was shown or read out.")
    text_sha256: str = strawberry.field(
        description="The SHA-256 digest of the text that was shown, in 64 hexadecimal digits."
    )
    text_version: str | None = strawberry.field(description="The caller's name of that version of the text.")

    @classmethod
    def of(cls, consent: Consent) -> Self:
        return cls(
            agreed_by=consent.agreed_by,
            agreed_at=consent.agreed_at,
            channel=consent.channel,
            text_sha256=consent.text_sha256,
            text_version=consent.text_version,
        )
