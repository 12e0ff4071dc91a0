"""The one protocol that every vault adapter keeps. Callers ask `capabilities`, never a vault's name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from app.errors import FieldFault, VaultError
from app.vault.model import (
    Added,
    BeforeAdd,
    Capabilities,
    MethodChange,
    NewCustomer,
    NewMethod,
    PaymentMethod,
    ThreeDSecure,
    VaultWallet,
)
from app.vault.names import CustomerRef, MethodRef, ProviderName


class CallMeter:
    """How many calls to vaults were really made for one request, repeated ones included."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0


@dataclass(frozen=True, slots=True)
class Call:
    """For whom and until when a vault is called.

    `deadline_at` is on the running loop's clock (`loop.time()`); `client` keeps waiting fair between callers. A read
    that several requests share is on the meter of the one that started it.

    `idempotency_key` comes with every write of a stored operation: the same for each attempt at the same step of it,
    another for any other. Vaults that take such keys are sent it; at most 100 letters, digits, ``_`` and ``-``.
    """

    deadline_at: float
    request_id: str
    traceparent: str | None = None
    client: str = "-"
    tags: Mapping[str, str] = field(default_factory=dict)
    meter: CallMeter = field(default_factory=CallMeter, repr=False, compare=False)
    idempotency_key: str | None = None


class VaultProvider(Protocol):
    """Promises, checked by `app.testing` for every vault:

    - An operation that `capabilities` does not declare raises `UnsupportedByVault` before anything is sent.
    - `faults_of_*` are pure: no I/O, every fault at once, an empty list when the vault may be called.
    - Reads raise `VaultUnavailable` and its kin, `VaultRefusedUs` or `VaultReplyUnreadable`.
    - Writes raise those only when nothing left us; else `VaultRejected` (final, nothing changed) or `OutcomeUnknown`.
    - A reply that names another customer or payment method than was asked for is never used: a read raises
      `VaultReplyUnreadable`, a write `OutcomeUnknown`, both with the provider code ``IDENTITY_MISMATCH``.
    """

    @property
    def name(self) -> ProviderName: ...

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def identity_mismatches(self) -> int:
        """How many replies named another customer or payment method than was asked for, since the start."""
        ...

    def canonical_ref(self, text: str, /) -> CustomerRef:
        """The one spelling of a customer ref: equal for two texts exactly when the vault means the same customer.

        Idempotent. Text that cannot be a ref of this vault is answered without surrounding blanks: no customer has it.
        """
        ...

    async def wallets(self, refs: Sequence[CustomerRef], call: Call) -> Mapping[CustomerRef, VaultWallet | VaultError]:
        """Read many customers, at most `capabilities.batch_limit` per upstream call.

        A customer of whom the vault says, in its documented way, that it does not know it is
        `VaultRejected(CUSTOMER_NOT_FOUND)` in its place; any other "not found" is unreadable. A failure of the call
        itself is raised when it concerns all refs, else stands in its ref's place. A method is listed once.
        """
        ...

    async def three_d_secure(self, ref: CustomerRef, method: MethodRef, call: Call) -> ThreeDSecure | None:
        """The card's last 3-D Secure result; None when none was attempted. One upstream call."""
        ...

    async def customer_exists(self, ref: CustomerRef, call: Call) -> bool: ...

    async def find_customer(self, external_id: str, call: Call) -> CustomerRef | None:
        """By our caller's key, where the vault can look that up."""
        ...

    def faults_of_customer(self, new: NewCustomer) -> list[FieldFault]: ...

    async def create_customer(self, new: NewCustomer, call: Call) -> CustomerRef:
        """Create, or where the vault keys customers by external id, create or fetch."""
        ...

    def faults_of_add(self, new: NewMethod) -> list[FieldFault]: ...

    async def before_add(self, ref: CustomerRef, new: NewMethod, call: Call) -> BeforeAdd:
        """A fresh list, taken before an add: ids to compare with, and the same token if it is there already."""
        ...

    async def add(self, ref: CustomerRef, new: NewMethod, before: BeforeAdd, make_default: bool, call: Call) -> Added:
        """Store a method. A vault that needs a second call for a default ignores `make_default`: read to know."""
        ...

    async def create_with_method(self, customer: NewCustomer, new: NewMethod, call: Call) -> Added:
        """Make the customer and its first method in one call (capability `creates_customer_with_method`)."""
        ...

    def faults_of_update(self, method: PaymentMethod, change: MethodChange) -> list[FieldFault]: ...

    async def update(self, method: PaymentMethod, change: MethodChange, call: Call) -> MethodRef:
        """Change a method; answers its ref afterwards, which differs where the vault replaces."""
        ...

    async def set_default(self, ref: CustomerRef, method: MethodRef, call: Call) -> None: ...

    async def delete(self, ref: CustomerRef, method: MethodRef, call: Call) -> None:
        """Delete or deactivate. A method that is already gone is success."""
        ...

    async def erase_customer(self, ref: CustomerRef, call: Call) -> None:
        """Delete the vault's whole record of the customer (capability `erases_customers`)."""
        ...

    async def check(self, call: Call) -> None:
        """Prove the credentials with one harmless call; raises `VaultRefusedUs` or `VaultUnavailable`."""
        ...

    async def close(self) -> None: ...
