"""GraphQL inputs of J.P. Morgan: network tokens, bank accounts and, if the operator allows it, cards."""

from dataclasses import fields
from datetime import date
from typing import Any, Final

import strawberry

from app.providers.jpmorgan.mapping import NAME
from app.providers.spec import AddInput
from app.vault.enums import (
    AddRoute,
    BankAccountType,
    BankRail,
    CardBrand,
    CardTokenType,
    ChallengePreference,
    WalletKind,
)
from app.vault.model import Address, Authenticate, BrowserInfo, Expiry, NewBankAccount, NewCard, NewMethod, WalletBundle
from app.vault.rules.iban import is_iban
from app.vault.secret import Secret
from resolvers.inputs.fields import given, optional, sensitive, text, words
from resolvers.scalars import URL


@strawberry.input(
    description="The cardholder's browser, for 3-D Secure: the more is known, the rarer are challenges. It "
    "is sent to J.P. Morgan and not stored."
)
class JpmBrowserInfoInput:
    accept_header: str | None = text(
        is_optional=True, max_length=2048, description="The Accept header that the browser sent."
    )
    user_agent: str | None = text(
        is_optional=True, max_length=2048, description="The User-Agent header that the browser sent."
    )
    language: str | None = text(is_optional=True, description="navigator.language: up to 8 characters, e.g. en-US.")
    screen_height: int | None = optional("screen.height, in pixels.")
    screen_width: int | None = optional("screen.width, in pixels.")
    color_depth: int | None = optional("screen.colorDepth, in bits: 1, 4, 8, 15, 16, 24, 32 or 48.")
    time_zone: str | None = text(
        is_optional=True, description="Minutes between UTC and the browser's time, e.g. -300, or a time zone's name."
    )
    java_enabled: bool | None = optional("navigator.javaEnabled().")
    java_script_enabled: bool | None = optional("Whether scripts run.")
    challenge_window_size: str | None = text(
        is_optional=True, description="J.P. Morgan's word for the size of the challenge's window, e.g. FULL_SCREEN."
    )
    ip_address: str | None = text(is_optional=True, description="The browser's IPv4 or IPv6 address.")

    def to_browser_info(self) -> BrowserInfo:
        return BrowserInfo(**_given(self, BrowserInfo))


@strawberry.input(
    description="Requests 3-D Secure while the card is added; the result's nextAction says where the shopper continues."
)
class JpmAuthenticateInput:
    return_url: URL = strawberry.field(description="Where J.P. Morgan sends the cardholder afterwards.")
    challenge: ChallengePreference = strawberry.field(
        default=ChallengePreference.NO_PREFERENCE, description="Whether the cardholder should be challenged."
    )

    browser_info: JpmBrowserInfoInput | None = optional("The cardholder's browser.")

    def to_authenticate(self) -> Authenticate:
        browser = given(self.browser_info)
        return Authenticate(
            return_url=self.return_url,
            challenge=self.challenge,
            browser_info=None if browser is None else browser.to_browser_info(),
        )


@strawberry.input(description="A number that the card network issued to replace the card number.")
class JpmNetworkTokenInput:
    token: Secret = sensitive(may_hold_card_number=True, description="The network token.")
    device: bool = strawberry.field(default=False, description="It belongs to a device's wallet.")
    expiry: Expiry = strawberry.field(description="The token's expiry.")
    brand: CardBrand = strawberry.field(description="The card network.")
    first_name: str | None = text(is_optional=True, description="First name on the card.")
    last_name: str | None = text(is_optional=True, description="Last name on the card.")
    authenticate: JpmAuthenticateInput | None = optional("Authenticate the cardholder while the card is added.")

    def to_new(self, billing: Address | None) -> NewMethod:
        kind = CardTokenType.DEVICE_TOKEN if self.device else CardTokenType.NETWORK_TOKEN
        return _card(self, AddRoute.NETWORK_TOKEN, self.token, kind, billing)


@strawberry.input(description="A card by its number.")
class JpmRawCardInput:
    account_number: Secret = sensitive(may_hold_card_number=True, description="The card number.")
    expiry: Expiry = strawberry.field(description="The month in which the card expires.")
    brand: CardBrand = strawberry.field(description="The card network.")
    first_name: str | None = text(is_optional=True, description="First name on the card.")
    last_name: str | None = text(is_optional=True, description="Last name on the card.")
    authenticate: JpmAuthenticateInput | None = optional("Authenticate the cardholder while the card is added.")

    def to_new(self, billing: Address | None) -> NewMethod:
        return _card(self, AddRoute.RAW_CARD, self.account_number, CardTokenType.PROVIDER_TOKEN, billing)


_LONGEST_PAYLOAD: Final = 16_384


def _part(description: str, max_length: int = 2048) -> Any:
    return text(is_optional=True, max_length=max_length, description=description)


@strawberry.input(
    description="A card from Apple Pay, Google Pay or Paze, by the encrypted bundle that the wallet returned to the "
    "page. The gateway passes it on and stores none of it."
)
class JpmWalletPayloadInput:
    wallet: WalletKind = strawberry.field(description="APPLE_PAY, GOOGLE_PAY or PAZE.")
    encrypted_payload: Secret = sensitive(
        max_length=_LONGEST_PAYLOAD,
        description="The encrypted data: Apple Pay's data, Google Pay's encryptedMessage, Paze's securedPayload.",
    )
    ephemeral_public_key: str | None = _part("The wallet's key for this payload.")
    public_key_hash: str | None = _part("Apple Pay: the hash of the merchant's key.")
    transaction_id: str | None = _part("Apple Pay: the transaction's id.")
    application_data: str | None = _part("What the merchant gave the wallet.")
    protocol_version: str | None = text(is_optional=True, max_length=32, description="E.g. EC_v1 or ECv2.")
    signature: str | None = _part("The wallet's signature.", _LONGEST_PAYLOAD)

    def to_new(self, billing: Address | None) -> NewMethod:
        return NewCard(
            provider=NAME,
            route=AddRoute.WALLET_PAYLOAD,
            secret=self.encrypted_payload,
            token_type=CardTokenType.DEVICE_TOKEN,
            wallet=self.wallet,
            bundle=WalletBundle(**_given(self, WalletBundle)),
            billing_address=billing,
        )


@strawberry.input(description="A bank account in the United States.")
class JpmAchInput:
    account_number: Secret = sensitive(description="The account number.")
    routing_number: str = text(max_length=32, description="The bank's routing number, of nine digits.")
    account_type: BankAccountType = strawberry.field(description="Checking or savings.")
    first_name: str | None = text(is_optional=True, description="First name of the account's holder.")
    last_name: str | None = text(is_optional=True, description="Last name of the account's holder.")

    def to_new(self, billing: Address | None) -> NewMethod:
        return NewBankAccount(
            provider=NAME,
            route=AddRoute.BANK_ACCOUNT,
            secret=self.account_number,
            rail=BankRail.ACH,
            routing_number=self.routing_number.strip(),
            account_type=self.account_type,
            first_name=words(self.first_name),
            last_name=words(self.last_name),
            billing_address=billing,
        )


@strawberry.input(description="A bank account in the SEPA area, with the mandate to debit it.")
class JpmSepaInput:
    iban: Secret = sensitive(known_form=is_iban, description="The account's IBAN.")
    bic: str = text(max_length=32, description="The bank's BIC, of 8 or 11 characters.")
    first_name: str | None = text(is_optional=True, description="First name of the account's holder.")
    last_name: str | None = text(is_optional=True, description="Last name of the account's holder.")
    mandate_id: str = text(description="The reference of the mandate that the holder signed.")
    mandate_signed_on: date = strawberry.field(description="The day on which the holder signed it.")

    def to_new(self, billing: Address | None) -> NewMethod:
        return _with_mandate(self, billing, secret=self.iban, rail=BankRail.SEPA, bic=self.bic.strip())


@strawberry.input(description="A bank account in the United Kingdom, with the mandate to debit it.")
class JpmBacsInput:
    account_number: Secret = sensitive(description="The account number, of eight digits.")
    sort_code: str = text(max_length=32, description="The bank's sort code, of six digits.")
    first_name: str | None = text(is_optional=True, description="First name of the account's holder.")
    last_name: str | None = text(is_optional=True, description="Last name of the account's holder.")
    mandate_id: str = text(description="The reference of the mandate that the holder signed.")
    mandate_signed_on: date = strawberry.field(description="The day on which the holder signed it.")

    def to_new(self, billing: Address | None) -> NewMethod:
        sort_code = self.sort_code.strip()
        return _with_mandate(self, billing, secret=self.account_number, rail=BankRail.BACS, sort_code=sort_code)


def _with_mandate(entered: JpmSepaInput | JpmBacsInput, billing: Address | None, **own: Any) -> NewBankAccount:
    return NewBankAccount(
        provider=NAME,
        route=AddRoute.BANK_ACCOUNT,
        mandate_id=entered.mandate_id.strip(),
        mandate_signed_on=entered.mandate_signed_on.isoformat(),
        first_name=words(entered.first_name),
        last_name=words(entered.last_name),
        billing_address=billing,
        **own,
    )


@strawberry.input(one_of=True, description="J.P. Morgan: a bank account, by the rail that debits it.")
class JpmBankAccountInput:
    ach: JpmAchInput | None = optional("An account in the United States.")
    sepa: JpmSepaInput | None = optional("An account in the SEPA area.")
    bacs: JpmBacsInput | None = optional("An account in the United Kingdom.")


def _given(entered: object, kind: type[BrowserInfo | WalletBundle]) -> dict[str, Any]:
    """The fields of `kind` that an input has, unchanged: the vault compares them with what it got elsewhere."""
    shown = {each.name: given(getattr(entered, each.name)) for each in fields(kind)}
    return {name: None if value == "" else value for name, value in shown.items()}


def _card(
    card: JpmNetworkTokenInput | JpmRawCardInput,
    route: AddRoute,
    secret: Secret,
    token_type: CardTokenType,
    billing: Address | None,
) -> NewCard:
    authenticate = given(card.authenticate)
    return NewCard(
        provider=NAME,
        route=route,
        secret=secret,
        token_type=token_type,
        expiry=card.expiry,
        brand=card.brand,
        first_name=words(card.first_name),
        last_name=words(card.last_name),
        billing_address=billing,
        authenticate=None if authenticate is None else authenticate.to_authenticate(),
    )


ADD_INPUTS: Final = (
    AddInput(
        "jpm_network_token",
        JpmNetworkTokenInput,
        "Needs the setting network_tokens, so that card numbers cannot be sent this way unnoticed.",
        scopes=("network_tokens:write",),
    ),
    AddInput(
        "jpm_bank_account",
        JpmBankAccountInput,
        "J.P. Morgan: a bank account.",
    ),
    AddInput(
        "jpm_wallet_payload",
        JpmWalletPayloadInput,
        "J.P. Morgan: a card from Apple Pay, Google Pay or Paze, by its encrypted payload.",
    ),
    AddInput(
        "jpm_raw_card",
        JpmRawCardInput,
        "Works only if the operator has enabled raw cards.",
        scopes=("pan:write",),
    ),
)
