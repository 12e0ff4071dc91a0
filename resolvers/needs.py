"""What the selected fields need from the vaults, known before anything is read.

A field declares its own part as metadata: ``metadata=needs(Reads(...))``. `customer_needs` and `method_needs` collect
the parts of a selection, so that the vaults and 3-D Secure statuses of a customer are read once, together.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

from app.execution.selected import Arguments, SelectedField
from app.vault.enums import ProviderName
from app.vault.model import Card
from app.wallet.reads.build_wallet import Wallet, WalletMethod

if TYPE_CHECKING:
    from resolvers.context import Info

ALL: Final = frozenset(ProviderName)
_KEY: Final = "needs"
_METHOD_TYPES: Final = frozenset({"Card", "BankAccount", "OtherMethod"})

Given = Mapping[str, Any]
"""A field's arguments, by name."""
_NO_ARGUMENTS: Final[Given] = {}
Start = Callable[[Wallet], Iterable[WalletMethod]]
"""The methods that a selection begins with, in one wallet."""
Shown = Callable[[Wallet, "Info", Start], Iterable[WalletMethod]]
"""The methods that a field shows."""


class Part(Enum):
    """What a field shows of the object that it belongs to."""

    STATUS = auto()  # a method's 3-D Secure status
    LOOKALIKES = auto()  # the methods that look like a method
    CUSTOMER = auto()  # a method's customer
    SOURCES = auto()  # how a customer's vaults were read


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """A field of a customer that needs vaults.

    `methods` returns the methods that the field, or a field below it, shows; `has_status`: with their 3-D Secure
    statuses. With arguments the field needs the vaults that `vaults` returns for them, else those in `only`. `cut`
    returns the vaults of the methods that the list leaves out, for wallets longer than its limit.
    """

    methods: Callable[[Wallet, "Info", Given], Iterable[WalletMethod]] | None = None
    has_status: bool = False
    vaults: Callable[["Info", Given], Collection[ProviderName]] | None = None
    only: frozenset[ProviderName] = ALL
    cut: Callable[[Wallet, "Info", Given], Collection[ProviderName]] | None = None


def needs(part: Reads | Part) -> dict[Any, Any]:
    """Metadata of a field."""
    return {_KEY: part}


@dataclass(frozen=True, slots=True)
class Needs:
    """What one selection needs. `fixed` are the vaults that it needs whatever the values of its arguments.

    `has_fields` is False if it selects nothing that a vault knows, `has_arguments` True if the cards depend on the
    request's arguments. `deferred`: for each group of deferred fields on a customer, what it needs together with this
    selection.
    """

    fixed: frozenset[ProviderName]
    narrowed: tuple[tuple[Callable[["Info", Given], Collection[ProviderName]], Arguments], ...]
    statuses: tuple[Shown, ...]
    has_fields: bool
    cuts: tuple[tuple[Callable[[Wallet, "Info", Given], Collection[ProviderName]], Arguments], ...] = ()
    deferred: tuple["Needs", ...] = ()
    has_arguments: bool = False

    def vaults(self, info: "Info") -> frozenset[ProviderName]:
        found = self.fixed
        for vaults, arguments in self.narrowed:
            try:
                found = found.union(vaults(info, arguments.of(info)))
            except Exception:  # noqa: BLE001, S112 - the field's resolver will report the same error
                continue
        return found

    def cut(self, wallet: Wallet, info: "Info") -> frozenset[ProviderName]:
        """The vaults of the methods that the selected lists leave out."""
        found: frozenset[ProviderName] = frozenset()
        for cut, arguments in self.cuts:
            try:
                found = found.union(cut(wallet, info, arguments.of(info)))
            except Exception:  # noqa: BLE001, S112 - the field's resolver will report the same error
                continue
        return found

    def cards(self, wallet: Wallet, info: "Info", start: Start) -> list[Card]:
        """The cards whose 3-D Secure status has to be read, without repeats."""
        found: dict[str, Card] = {}
        for shown in self.statuses:
            for one in shown(wallet, info, start):
                if one.has_status_call:
                    found[one.id] = one.method  # type: ignore[assignment]  # only cards have such a call
        return list(found.values())


def nothing(wallet: Wallet) -> Iterable[WalletMethod]:
    """The start of a selection on a customer."""
    return ()


def customer_needs(selected: SelectedField) -> Needs:
    """Of a field that returns a customer."""
    if "Customer" not in selected.types:
        return fields_needs(())
    found = fields_needs(selected.below("Customer"))
    deferred = tuple([fields_needs(fields) for fields in selected.deferred("Customer")])
    return replace(found, deferred=deferred) if deferred else found


def fields_needs(fields: Iterable[SelectedField]) -> Needs:
    """Of these fields of a customer."""
    collected = _Collected()
    collected.customer_fields(fields)
    return collected.needs()


def method_needs(selected: SelectedField) -> Needs:
    """Of a field that returns a payment method, besides that method's own vault."""
    collected = _Collected()
    collected.methods(selected, lambda wallet, info, start: start(wallet), _METHOD_TYPES.__contains__)
    return collected.needs()


class _Collected:
    def __init__(self) -> None:
        self._fixed: frozenset[ProviderName] = frozenset()
        self._narrowed: list[tuple[Callable[[Info, Given], Collection[ProviderName]], Arguments]] = []
        self._statuses: list[Shown] = []
        self._cuts: list[tuple[Callable[[Wallet, Info, Given], Collection[ProviderName]], Arguments]] = []
        self._has_sources = False
        self._has_arguments = False
        self._seen: set[object] = set()

    def needs(self) -> Needs:
        needs_vaults = bool(self._fixed or self._narrowed)
        if self._has_sources and not needs_vaults:
            self._fixed = ALL
        has_fields = needs_vaults or self._has_sources
        return Needs(
            self._fixed,
            tuple(self._narrowed),
            tuple(self._statuses),
            has_fields,
            tuple(self._cuts),
            has_arguments=self._has_arguments,
        )

    def customer(self, selected: SelectedField) -> None:
        if "Customer" in selected.types and self._is_new(selected, "Customer"):
            self.customer_fields(selected.below("Customer"))

    def customer_fields(self, fields: Iterable[SelectedField]) -> None:
        for one in fields:
            part = one.metadata.get(_KEY)
            if part is Part.SOURCES:
                self._has_sources = True
            elif isinstance(part, Reads):
                self._reads(one, part)

    def _reads(self, selected: SelectedField, reads: Reads) -> None:
        arguments = selected.arguments()
        self._has_arguments = self._has_arguments or arguments.are_given
        if reads.vaults is None or not arguments.are_given:
            self._fixed |= reads.only
        else:
            self._narrowed.append((reads.vaults, arguments))
        if reads.cut is not None:
            self._cuts.append((reads.cut, arguments))
        shown = _shown(reads, arguments)
        if reads.has_status:
            self._statuses.append(shown)
        self.methods(selected, shown)

    def methods(
        self, selected: SelectedField, shown: Shown | None, is_wanted: Callable[[str], bool] = lambda name: True
    ) -> None:
        """The fields below one that shows methods. `shown` is None if no status is selected for them."""
        for type_name in filter(is_wanted, selected.types):
            # A bank account has no status, nor do the methods that look like it: only their customer may need vaults.
            of_type = shown if type_name == "Card" or type_name not in _METHOD_TYPES else None
            if of_type is None and not self._is_new(selected, type_name):
                continue
            for one in selected.below(type_name):
                part = one.metadata.get(_KEY)
                if part is Part.CUSTOMER:
                    self.customer(one)
                elif part is Part.SOURCES:
                    self._has_sources = True
                elif isinstance(part, Reads):
                    self._reads(one, part)
                elif part is Part.LOOKALIKES:
                    self.methods(one, None if of_type is None else _lookalikes(of_type))
                elif part is not Part.STATUS:
                    self.methods(one, of_type)
                elif of_type is not None:
                    self._statuses.append(of_type)

    def _is_new(self, selected: SelectedField, type_name: str) -> bool:
        key = type_name, selected.key
        is_new = key not in self._seen
        self._seen.add(key)
        return is_new


def _shown(reads: Reads, arguments: Arguments) -> Shown:
    methods = reads.methods
    if methods is None:
        return lambda wallet, info, start: ()
    if not arguments.are_given:
        return lambda wallet, info, start: methods(wallet, info, _NO_ARGUMENTS)

    def shown(wallet: Wallet, info: "Info", start: Start) -> Iterable[WalletMethod]:
        try:
            return methods(wallet, info, arguments.of(info))
        except Exception:  # noqa: BLE001 - the field's resolver will report the same error
            return ()

    return shown


def _lookalikes(shown: Shown) -> Shown:
    def lookalikes(wallet: Wallet, info: "Info", start: Start) -> Iterable[WalletMethod]:
        found = [wallet.method(other) for one in shown(wallet, info, start) for other in one.lookalikes]
        return [one for one in found if one is not None]

    return lookalikes
