"""The protocol of all vault adapters. Callers check `capabilities`, never a vault's name."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any, Protocol, runtime_checkable

from app.errors import FieldFault, VaultError
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.vault.frozen_dataclass import value
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


class CallMeter:
    """Counts the vault calls made for one request, including retries."""

    calls = 0


class TraceHeaders(Protocol):
    """The caller's trace, as W3C Trace Context spells it; sent to the vault with every call."""

    @property
    def traceparent(self) -> str: ...
    @property
    def tracestate(self) -> str | None: ...


@value(frozen=True, slots=True)
class Call:
    """Context of a vault call.

    `deadline_at` is in loop time (`loop.time()`); `client` is the key for fair queueing. `request_id` and `trace` are
    sent to the vault as X-Request-Id, traceparent and tracestate. A read shared by several
    requests is counted on the meter of the request that started it.

    `idempotency_key` is set for every write of a stored operation: the same for all attempts at one step, different
    for any other step. It is sent to vaults that support idempotency keys; at most 100 letters, digits, ``_``, ``-``.
    """

    deadline_at: float
    request_id: str
    trace: TraceHeaders | None = None
    client: str = "-"
    tags: Mapping[str, str] = field(default_factory=dict)
    meter: CallMeter = field(default_factory=CallMeter, repr=False, compare=False)
    idempotency_key: str | None = None


class VaultProvider(Protocol):
    """Contract of every vault adapter, tested by `app.testing`. A public interface.

    - An operation that `capabilities` does not declare raises `UnsupportedByVault` before anything is sent.
    - `faults_of_*` do no I/O and return all faults; an empty list means that the vault may be called.
    - Reads raise `VaultUnavailable` or a subclass, `VaultRefusedUs` or `VaultReplyUnreadable`.
    - Writes raise those only if nothing was sent; else `VaultRejected` (final, nothing changed) or `OutcomeUnknown`.
    - A reply for another customer or payment method than requested is never used: a read raises
      `VaultReplyUnreadable`, a write `OutcomeUnknown`, both with the provider code ``IDENTITY_MISMATCH``.
    """

    @property
    def name(self) -> ProviderName: ...

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def identity_mismatches(self) -> int:
        """Number of replies, since the start, for another customer or payment method than requested."""

    def canonical_ref(self, text: str, /) -> CustomerRef:
        """Normalise a customer ref: equal for two texts exactly if they name the same customer at the vault.

        Idempotent. Text that cannot be a ref of this vault is only stripped of surrounding whitespace.
        """

    async def wallets(self, refs: Sequence[CustomerRef], call: Call) -> Mapping[CustomerRef, VaultWallet | VaultError]:
        """Read many customers, at most `capabilities.batch_limit` per upstream call.

        If the vault reports a customer as unknown in its documented form, its value is
        `VaultRejected(CUSTOMER_NOT_FOUND)`; any other "not found" is unreadable. A failed call raises if it affects
        all refs; otherwise its refs map to the error. Each method is listed once.
        """

    async def three_d_secure(self, ref: CustomerRef, method: MethodRef, call: Call) -> ThreeDSecure | None:
        """The card's last 3-D Secure result; None if none was attempted. One upstream call."""

    async def customer_exists(self, ref: CustomerRef, call: Call) -> bool: ...

    async def find_customer(self, external_id: str, call: Call) -> CustomerRef | None:
        """Find a customer by the caller's key, if the vault supports it."""

    def faults_of_customer(self, new: NewCustomer) -> list[FieldFault]: ...

    async def create_customer(self, new: NewCustomer, call: Call) -> CustomerRef:
        """Create a customer; if the vault uses external ids as keys, create or fetch."""

    def faults_of_add(self, new: NewMethod) -> list[FieldFault]: ...

    async def before_add(self, ref: CustomerRef, new: NewMethod, call: Call) -> BeforeAdd:
        """Read the customer's methods before an add: refs to compare with, and a method with the same token."""

    async def add(self, ref: CustomerRef, new: NewMethod, before: BeforeAdd, make_default: bool, call: Call) -> Added:
        """Store a method. A vault that needs a second call for a default ignores `make_default`: re-read to check."""

    async def create_with_method(self, customer: NewCustomer, new: NewMethod, call: Call) -> Added:
        """Create a customer and its first method in one call (capability `creates_customer_with_method`)."""

    def faults_of_update(self, method: PaymentMethod, change: MethodChange) -> list[FieldFault]: ...

    async def update(self, method: PaymentMethod, change: MethodChange, call: Call) -> MethodRef:
        """Change a method; returns its ref, which is new if the vault replaces the method."""

    async def set_default(self, ref: CustomerRef, method: MethodRef, call: Call) -> None: ...

    async def delete(self, ref: CustomerRef, method: MethodRef, call: Call) -> None:
        """Delete or deactivate. Succeeds if the method does not exist."""

    async def erase_customer(self, ref: CustomerRef, call: Call) -> None:
        """Delete all data of the customer at the vault (capability `erases_customers`)."""

    async def check(self, call: Call) -> None:
        """Verify the credentials with one read-only call; raises `VaultRefusedUs` or `VaultUnavailable`."""

    async def close(self) -> None: ...


class Releasable(Protocol):
    def release(self) -> None: ...


class StartedRead(Protocol):
    """A read that was sent without a coroutine. `gate` is released when its first attempt ends."""

    gate: "Releasable | None"

    def cancel(self) -> None:
        """Its reply is not wanted any more."""


@runtime_checkable
class DirectVault(VaultProvider, Protocol):
    """Reads one customer, or one card's 3-D Secure status, without a coroutine if the reply is ordinary.

    `begin_…` sends the request and returns it; None, and nothing is sent, if only `wallets` or `three_d_secure` can
    read; it raises VaultRejected like those. Later `on_done` is called once with what `begin_…` returned. Then `…_in`
    must be called once, and gives the value of an ordinary reply. If that is None, `complete_…` gives it, and raises
    like `wallets` or `three_d_secure`.
    """

    def begin_wallet(self, ref: CustomerRef, call: Call, on_done: Callable[[Any], object]) -> StartedRead | None: ...

    def wallet_in(self, ref: CustomerRef, sent: Any, call: Call) -> VaultWallet | None: ...

    async def complete_wallet(self, ref: CustomerRef, sent: Any, call: Call) -> VaultWallet: ...

    def begin_three_d_secure(
        self, ref: CustomerRef, method: MethodRef, call: Call, on_done: Callable[[Any], object]
    ) -> StartedRead | None: ...

    def three_d_secure_in(self, ref: CustomerRef, method: MethodRef, sent: Any, call: Call) -> ThreeDSecure | None: ...

    async def complete_three_d_secure(
        self, ref: CustomerRef, method: MethodRef, sent: Any, call: Call
    ) -> ThreeDSecure | None: ...


@runtime_checkable
class BatchAddingVault(VaultProvider, Protocol):
    """Stores several methods of one customer in one call, at most `capabilities.add_limit`."""

    def can_add_all(self, news: Sequence[NewMethod]) -> bool:
        """Whether one call can hold these methods."""
        ...

    async def before_add_all(self, ref: CustomerRef, news: Sequence[NewMethod], call: Call) -> list[BeforeAdd]:
        """`before_add` for each of them, from one list."""
        ...

    async def add_all(
        self, ref: CustomerRef, news: Sequence[NewMethod], before: BeforeAdd, default: int | None, call: Call
    ) -> list[Added]:
        """One call, which stores all of them or none; the results are in the order of `news`.

        `default` is the place of the one to be the default, as `make_default` of `add`. `OutcomeUnknown` if the reply
        does not show beyond doubt which is which.
        """
        ...
