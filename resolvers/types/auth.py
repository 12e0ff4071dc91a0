"""3-D Secure in the schema."""

from datetime import datetime
from typing import Self

import strawberry

from app.vault.enums import AuthPurpose, AuthStatus, NextActionKind
from app.vault.model import NextAction as VaultNextAction
from app.vault.model import ThreeDSecure as VaultThreeDSecure
from app.vault.secret import Secret
from resolvers.scalars import URL


@strawberry.type(name="NextAction", description="What the shopper must do next.")
class GraphNextAction:
    kind: NextActionKind = strawberry.field(description="What to do with the address.")
    url: URL | None = strawberry.field(description="The address to open, embed or poll.")
    expires_at: datetime | None = strawberry.field(
        description="When the address stops working; null if the vault does not say."
    )
    secret: strawberry.Private[Secret | None]

    @strawberry.field(description="A browser credential: use it at once, never log it.")
    def client_token(self) -> str | None:
        return self.secret.reveal() if self.secret else None

    @classmethod
    def of(cls, action: VaultNextAction) -> Self:
        url = URL(action.url) if action.url else None
        return cls(kind=action.kind, url=url, expires_at=action.expires_at, secret=action.client_token)


@strawberry.type(name="ThreeDSecure", description="The last known 3-D Secure result of one card.")
class GraphThreeDSecure:
    status: AuthStatus = strawberry.field(description="The result.")
    purpose: AuthPurpose | None = strawberry.field(
        description="What the cardholder was authenticated for; null if the vault does not say."
    )
    raw_status: str | None = strawberry.field(description="The vault's value.")
    authentication_id: strawberry.ID | None = strawberry.field(
        description="The vault's id of the authentication; its 3-D Secure service knows the details."
    )
    authenticated_at: datetime | None = strawberry.field(
        description="When the attempt was made, whatever its result (J.P. Morgan: transactionDate)."
    )
    transaction_identifier: strawberry.ID | None = strawberry.field(
        description="The vault's id of this attempt. J.P. Morgan only."
    )
    response_code: str | None = strawberry.field(
        description="The vault's code, e.g. ACCEPTED: for support, not for decisions. J.P. Morgan only."
    )
    response_message: str | None = strawberry.field(
        description="The vault's explanation of its code. J.P. Morgan only."
    )
    host_message: str | None = strawberry.field(
        description="What the issuer, the network or the processor said; null if nothing. J.P. Morgan only."
    )
    next_action: GraphNextAction | None = strawberry.field(
        description="What the cardholder must do next; null if nothing."
    )

    @classmethod
    def of(cls, result: VaultThreeDSecure) -> Self:
        return cls(
            status=result.status,
            purpose=result.purpose,
            raw_status=result.raw_status,
            authentication_id=strawberry.ID(result.authentication_id) if result.authentication_id else None,
            authenticated_at=result.authenticated_at,
            transaction_identifier=strawberry.ID(result.transaction_id) if result.transaction_id else None,
            response_code=result.response_code,
            response_message=result.response_message,
            host_message=result.host_message,
            next_action=GraphNextAction.of(result.next_action) if result.next_action else None,
        )
