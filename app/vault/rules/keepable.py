"""What only some vaults can keep, checked by their capabilities before any call."""

from dataclasses import fields
from typing import Final

from app.errors import FieldFault
from app.vault.model import AddressLabels, Capabilities, NewMethod

_UNSUPPORTED: Final = "UNSUPPORTED_BY_PROVIDER"


def faults_of_labels(labels: AddressLabels | None, can: Capabilities) -> list[FieldFault]:
    """A fault for each given label, for a vault that keeps only the address itself."""
    if labels is None or can.keeps_profiles:
        return []
    given = [each.name for each in fields(labels) if getattr(labels, each.name) is not None]
    message = "This vault keeps only the address itself."
    return [FieldFault(("address_labels", name), _UNSUPPORTED, message) for name in given]


def faults_of_status(new: NewMethod, can: Capabilities) -> list[FieldFault]:
    """A fault for an inactive method, for a vault that stores every new method as active."""
    if new.active is not False or can.adds_inactive:
        return []
    return [FieldFault(("status",), _UNSUPPORTED, "This vault stores every new method as active.")]
