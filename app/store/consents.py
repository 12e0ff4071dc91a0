"""Consents to storing a payment method: one for each method, the latest. They outlive the method and its link."""

from typing import Final

from app.store.connection import Connection
from app.store.database import ReadMethod, Repository
from app.store.outbox import Transaction
from app.store.records import Consent, ConsentRecord, MethodAddress
from app.store.statements import Query, Statement, values_of
from app.store.text import storable

_PUT: Final = Statement(
    """
    INSERT INTO consents (
        tenant, provider, customer_ref, method_ref, customer_id, agreed_by, agreed_at, channel, text_sha256,
        text_version, recorded_at, recorded_by
    ) VALUES (
        :tenant, :provider, :customer_ref, :method_ref, :customer_id, :agreed_by, :agreed_at, :channel, :text_sha256,
        :text_version, :now, :recorded_by
    ) ON CONFLICT (tenant, provider, customer_ref, method_ref) DO UPDATE SET
        customer_id = excluded.customer_id, agreed_by = excluded.agreed_by, agreed_at = excluded.agreed_at,
        channel = excluded.channel, text_sha256 = excluded.text_sha256, text_version = excluded.text_version,
        recorded_at = excluded.recorded_at, recorded_by = excluded.recorded_by
    """
)
_OF_CUSTOMER: Final = Query(
    ConsentRecord,
    "SELECT {columns} FROM consents WHERE tenant = :tenant AND customer_id = :customer_id ORDER BY recorded_at",
)
# A consent that the new method has already stays.
_MOVE: Final = Statement(
    """
    UPDATE consents SET provider = :new_provider, customer_ref = :new_customer_ref, method_ref = :new_method_ref
    WHERE tenant = :tenant AND customer_id = :customer_id AND provider = :provider AND customer_ref = :customer_ref
    AND method_ref = :method_ref AND NOT EXISTS (
        SELECT 1 FROM consents AS other WHERE other.tenant = :tenant AND other.provider = :new_provider
        AND other.customer_ref = :new_customer_ref AND other.method_ref = :new_method_ref
    )
    """
)


def set_consent(
    tx: Transaction, customer_id: str, method: MethodAddress, consent: Consent, *, recorded_by: str
) -> None:
    """Store the consent, in place of an earlier one for this method."""
    storable(consent.agreed_by, consent.text_version, consent.text_sha256, method.method_ref, method.customer_ref)
    tx.execute(
        _PUT,
        **values_of(method),
        **values_of(consent),
        customer_id=customer_id,
        recorded_by=recorded_by,
        now=tx.now(),
    )


def consents_of(db: Connection, customer_id: str) -> list[ConsentRecord]:
    """All consents of a customer, also of methods that were deleted; oldest first."""
    return db.all(_OF_CUSTOMER, customer_id=customer_id)


def move_consent(tx: Transaction, customer_id: str, old: MethodAddress, new: MethodAddress) -> None:
    """To the method that replaced `old`."""
    moved = {f"new_{name}": value for name, value in values_of(new).items()}
    tx.execute(_MOVE, customer_id=customer_id, **values_of(old), **moved)


class Consents(Repository):
    of_customer = ReadMethod(consents_of)
