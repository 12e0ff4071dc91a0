"""The consent that a new payment method brings."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

import strawberry

from app.store.records import Consent, ConsentChannel
from app.vault.rules.text import tidy
from app.wallet.problems import WriteProblem, invalid
from resolvers.inputs.fields import given, text, words

_is_digest: Final = re.compile(r"[0-9a-f]{64}").fullmatch


@strawberry.input(
    description="Who agreed that the method is stored, and to which text. The gateway stores it with the method."
)
class ConsentInput:
    agreed_by: str = text(max_length=100, description="Who agreed, for example your account id of the person.")
    agreed_at: datetime = strawberry.field(description="When they agreed.")
    channel: ConsentChannel = strawberry.field(description="Where the text was shown or read out.")
    text_sha256: str = text(
        max_length=64,
        known_form=_is_digest,
        description="The SHA-256 digest of the text that was shown, in 64 hexadecimal digits in lower case. Keep the "
        "text yourself.",
    )
    text_version: str | None = text(
        is_optional=True, max_length=100, description="Your name of that version of the text."
    )

    def problems(self, *path: str) -> Iterator[WriteProblem]:
        if _is_digest(self.text_sha256) is None:
            yield invalid("A SHA-256 digest has 64 hexadecimal digits, in lower case.", *path, "text_sha256")

    def to_consent(self) -> Consent:
        return Consent(
            agreed_by=tidy(self.agreed_by),
            agreed_at=self.agreed_at,
            channel=self.channel,
            text_sha256=self.text_sha256,
            text_version=words(given(self.text_version)),
        )
