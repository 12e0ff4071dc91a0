"""Inputs of the mutations on payment methods, and their conversion to commands."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import strawberry

from app.providers.registry import names_of_the_able
from app.vault.enums import ProviderCapability, RequestedStatus
from app.vault.model import Expiry
from app.vault.rules.etag import is_etag
from app.wallet.commands import AddMethod, AddMethods, DeleteMethod, IfDefault, OnDuplicate, SetDefault, UpdateMethod
from app.wallet.problems import WriteProblem, invalid
from resolvers.inputs.add_method import AddMethodInput
from resolvers.inputs.consent import ConsentInput
from resolvers.inputs.fields import KEY, OPTIONAL_KEY, given, optional, text, words
from resolvers.inputs.people import AddressInput, PersonNameInput, to_address, to_labels, to_name
from resolvers.scalars import IdempotencyKey
from resolvers.types.profile import KEEPERS_NAMES

_NICKNAME_LENGTH = 100
_TITLED = names_of_the_able(lambda can: can.titles_methods)
_ADDS_INACTIVE = names_of_the_able(lambda can: can.adds_inactive)
_KEEPS_SECONDARY = names_of_the_able(lambda can: ProviderCapability.UPDATE_SECONDARY in can.operations)


@strawberry.input(description="A payment method to add to one of the customer's vaults.")
class AddPaymentMethodInput:
    customer_id: strawberry.ID = strawberry.field(description="The customer's id.")
    idempotency_key: IdempotencyKey = strawberry.field(description=KEY)
    method: AddMethodInput = strawberry.field(description="The method, in the form that its vault takes.")
    nickname: str | None = text(
        is_optional=True, max_length=_NICKNAME_LENGTH, description="The customer's name for it; stored by the gateway."
    )
    billing_address: AddressInput | None = optional("The address that belongs to it, for vaults that store one.")
    consent: ConsentInput | None = optional("The agreement under which it is stored.")
    status: RequestedStatus | None = optional(
        f"ACTIVE if absent. INACTIVE: {_ADDS_INACTIVE} only, else UNSUPPORTED_BY_PROVIDER."
    )
    make_default: bool = strawberry.field(default=False, description="Also make it the customer's default.")
    provision: bool = strawberry.field(
        default=False, description="Create the customer in the vault first if it is not linked there."
    )
    card_on_file_reference: str | None = text(
        is_optional=True,
        max_length=32,
        description=f"With `provision`, {KEEPERS_NAMES} only: your reference of the agreement under which the "
        "customer's cards are stored and charged later (stored credentials): up to 32 letters and digits, no token.",
    )
    on_duplicate: OnDuplicate = strawberry.field(
        default=OnDuplicate.RETURN_EXISTING, description="What to do if the vault already has it."
    )

    def problems(self) -> list[WriteProblem]:
        return consent_problems(self)

    def to_command(self) -> AddMethod:
        reference = words(self.card_on_file_reference)
        more = {"provision": self.provision, "card_on_file_reference": reference, "on_duplicate": self.on_duplicate}
        return _add_command(self, self, **more)


@strawberry.input(description="One of several methods to add; the fields are those of `AddPaymentMethodInput`.")
class AddPaymentMethodItemInput:
    method: AddMethodInput = strawberry.field(description="The method, in the form that its vault takes.")
    nickname: str | None = text(
        is_optional=True, max_length=_NICKNAME_LENGTH, description="The customer's name for it; stored by the gateway."
    )
    billing_address: AddressInput | None = optional("The address that belongs to it, for vaults that store one.")
    consent: ConsentInput | None = optional("The agreement under which it is stored.")
    status: RequestedStatus | None = optional(
        f"ACTIVE if absent. INACTIVE: {_ADDS_INACTIVE} only, else UNSUPPORTED_BY_PROVIDER."
    )
    make_default: bool = strawberry.field(
        default=False, description="Also make it the customer's default; of at most one item."
    )


@strawberry.input(description="Payment methods of one customer, all for the same vault.")
class AddPaymentMethodsInput:
    customer_id: strawberry.ID = strawberry.field(description="The customer's id. The vault must be linked already.")
    idempotency_key: IdempotencyKey = strawberry.field(description=KEY)
    items: list[AddPaymentMethodItemInput] = strawberry.field(description="1 to 10 methods.")
    on_duplicate: OnDuplicate = strawberry.field(
        default=OnDuplicate.RETURN_EXISTING, description="What to do with a method that the vault already has."
    )

    def problems(self) -> list[WriteProblem]:
        return [
            problem for place, one in enumerate(self.items) for problem in consent_problems(one, "items", str(place))
        ]

    def to_command(self) -> AddMethods:
        return AddMethods(
            customer_id=self.customer_id,
            idempotency_key=self.idempotency_key,
            items=tuple(_add_command(self, one, on_duplicate=self.on_duplicate) for one in self.items),
            on_duplicate=self.on_duplicate,
        )


def consent_problems(one: "AddPaymentMethodInput | AddPaymentMethodItemInput", *path: str) -> list[WriteProblem]:
    consent = given(one.consent)
    return [] if consent is None else list(consent.problems(*path, "consent"))


def _add_command(
    given_input: "AddPaymentMethodInput | AddPaymentMethodsInput",
    one: "AddPaymentMethodInput | AddPaymentMethodItemInput",
    **more: Any,
) -> AddMethod:
    chosen = one.method.chosen()
    method = chosen.way.to_new(to_address(one.billing_address))
    return AddMethod(
        customer_id=given_input.customer_id,
        idempotency_key=given_input.idempotency_key,
        method=replace(method, address_labels=to_labels(one.billing_address), active=_is_active(one.status)),
        method_path=chosen.path,
        secret_field=chosen.secret_field,
        nickname=words(one.nickname),
        make_default=one.make_default,
        consent=consent.to_consent() if (consent := given(one.consent)) is not None else None,
        **more,
    )


@strawberry.input(
    description="Only the given fields change. An unsupported change is UNSUPPORTED_BY_PROVIDER, before any call."
)
class UpdatePaymentMethodInput:
    id: strawberry.ID = strawberry.field(description="The payment method's id.")
    idempotency_key: IdempotencyKey | None = optional(OPTIONAL_KEY)
    if_match: str | None = text(is_optional=True, known_form=is_etag, description="The etag that was read.")
    expiry: Expiry | None = optional("The new month of expiry.")
    holder: PersonNameInput | None = optional("The new name of the holder.")
    nickname: str | None = text(
        is_optional=True,
        max_length=_NICKNAME_LENGTH,
        description=f'Stored by the gateway; at {_TITLED} also the profile\'s title. "" removes it.',
    )
    billing_address: AddressInput | None = optional("The new address, as a whole.")
    status: RequestedStatus | None = optional("INACTIVE to stop using it without deleting it; ACTIVE to use it again.")
    active: bool | None = optional("The same as `status`; only one of them.")
    is_secondary: bool | None = optional(f"{_KEEPS_SECONDARY} only.")

    def own_problems(self, path: tuple[str, ...]) -> Iterator[WriteProblem]:
        if given(self.status) is not None and given(self.active) is not None:
            yield invalid("Only one of status and active.", *path, "status")

    def to_command(self) -> UpdateMethod:
        nickname, status = given(self.nickname), given(self.status)
        return UpdateMethod(
            method_id=self.id,
            idempotency_key=given(self.idempotency_key),
            if_match=given(self.if_match),
            expiry=given(self.expiry),
            holder=to_name(self.holder),
            nickname=None if nickname is None else nickname.strip(),
            billing_address=to_address(self.billing_address),
            address_labels=to_labels(self.billing_address),
            active=given(self.active) if status is None else _is_active(status),
            status_field=None if status is None else "status",
            is_secondary=given(self.is_secondary),
        )


@strawberry.input(description="The customer's new default payment method.")
class SetDefaultPaymentMethodInput:
    customer_id: strawberry.ID = strawberry.field(description="The customer's id.")
    payment_method_id: strawberry.ID = strawberry.field(description="The payment method to make the default.")
    idempotency_key: IdempotencyKey | None = optional(OPTIONAL_KEY)
    allow_expired: bool = strawberry.field(default=False, description="Accept an expired card, which cannot pay.")
    mirror_to_provider: bool = strawberry.field(
        default=True, description="Also set the default in its vault, if the vault has defaults."
    )

    def to_command(self) -> SetDefault:
        return SetDefault(
            customer_id=self.customer_id,
            method_id=self.payment_method_id,
            idempotency_key=given(self.idempotency_key),
            allow_expired=self.allow_expired,
            mirror_to_provider=self.mirror_to_provider,
        )


@strawberry.input(description="The method to delete. Success if it no longer exists.")
class DeletePaymentMethodInput:
    id: strawberry.ID = strawberry.field(description="The payment method's id.")
    idempotency_key: IdempotencyKey | None = optional(OPTIONAL_KEY)
    if_default: IfDefault = strawberry.field(
        default=IfDefault.ALLOW, description="REJECT refuses to delete the effective default."
    )
    replacement_default_id: strawberry.ID | None = optional("Made the default first.")

    def to_command(self) -> DeleteMethod:
        return DeleteMethod(
            method_id=self.id,
            idempotency_key=given(self.idempotency_key),
            if_default=self.if_default,
            replacement_id=given(self.replacement_default_id),
        )


def _is_active(status: RequestedStatus | None) -> bool | None:
    wanted = given(status)
    return None if wanted is None else wanted is RequestedStatus.ACTIVE
