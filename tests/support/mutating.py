"""The documents of the mutations, and helpers that run them and return the payload."""

from collections.abc import Mapping
from typing import Any, Final

from tests.support.gateway import RunningGateway

COMMON: Final = """operation { id mutation state replayed
    results { edges { node { provider row state outcome paymentMethod { id } error { __typename code path } } } } }
  userErrors { __typename code path retryable
    ... on ProviderError { provider outcome providerCode retryAfterSeconds }
    ... on ConflictError { currentEtag } ... on DuplicateError { existing { id } } }
  warnings { __typename code path ... on DuplicateError { existing { id } } }"""
METHOD: Final = """{ __typename id provider kind status nickname label vaultTitle last4 holderName isDefault
  isProviderDefault isSecondary etag groupKey capabilities possibleDuplicates { id }
  billingAddress { line1 city postalCode country }
  ... on Card { brand expiry expiryState } ... on BankAccount { rail } }"""
WALLET: Final = (
    "{ id defaultMethod { id } defaultMethodInfo { state reason } paymentMethods { id nickname isDefault } }"
)

ADD: Final = f"""mutation ($input: AddPaymentMethodInput!) {{ addPaymentMethod(input: $input) {{ {COMMON}
  wasDuplicate nextAction {{ kind url }} paymentMethod {METHOD} customer {WALLET} }} }}"""
UPDATE: Final = f"""mutation ($input: UpdatePaymentMethodInput!) {{ updatePaymentMethod(input: $input) {{ {COMMON}
  replacedId paymentMethod {METHOD} }} }}"""
SET_DEFAULT: Final = f"""mutation ($input: SetDefaultPaymentMethodInput!) {{ setDefaultPaymentMethod(input: $input) {{
  {COMMON} previousDefault {{ id }} customer {WALLET} }} }}"""
DELETE: Final = f"""mutation ($input: DeletePaymentMethodInput!) {{ deletePaymentMethod(input: $input) {{ {COMMON}
  deletedId remainingLookalikes {{ id }} customer {WALLET} }} }}"""
CREATE: Final = f"""mutation ($input: CreateCustomerInput!) {{ createCustomer(input: $input) {{ {COMMON}
  customer {{ id externalId name email links {{ provider proof }} paymentMethods {{ id }} }} }} }}"""
LINK: Final = f"""mutation ($input: LinkProviderCustomerInput!) {{ linkProviderCustomer(input: $input) {{ {COMMON}
  link {{ provider customerRef proof linkedBy }} customer {{ id links {{ provider }} paymentMethods {{ id }} }} }} }}"""
UNLINK: Final = f"""mutation ($input: UnlinkProviderCustomerInput!) {{ unlinkProviderCustomer(input: $input) {{ {COMMON}
  link {{ provider }} customer {{ id links {{ provider }} paymentMethods {{ provider }} }} }} }}"""
ERASE: Final = f"mutation ($input: EraseCustomerInput!) {{ eraseCustomer(input: $input) {{ {COMMON} }} }}"

MERGE: Final = f"""mutation ($input: MergeCustomersInput!) {{ mergeCustomers(input: $input) {{ {COMMON}
  customer {{ id externalId name email links {{ provider }} defaultMethod {{ id }} paymentMethods {{ id nickname }} }}
}} }}"""

METHODS: Final = f"query ($id: ID!) {{ customer(id: $id) {{ paymentMethods {METHOD} }} }}"
ONE: Final = f"query ($id: ID!) {{ paymentMethod(id: $id) {METHOD} }}"


def run(gateway: RunningGateway, document: str, value: Mapping[str, Any]) -> Any:
    """The payload of a mutation whose reply has no top-level errors."""
    (payload,) = gateway.data(document, input=dict(value)).values()
    return payload


def codes(payload: Any) -> list[str]:
    return [error["code"] for error in payload["userErrors"]]


def methods(gateway: RunningGateway, provider: str | None = None, customer: str = "cus_alex") -> list[Any]:
    """The customer's active methods by vault."""
    found = gateway.data(METHODS, id=customer)["customer"]["paymentMethods"]
    return [one for one in found if provider in (None, one["provider"])]


def one(gateway: RunningGateway, method_id: str) -> Any:
    return gateway.data(ONE, id=method_id)["paymentMethod"]


def ids(rows: Any) -> list[str]:
    return [row["id"] for row in rows]
