"""An agent: the official MCP client, connected to a running gateway."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx2
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

WALLET = """
"The wallet of one customer."
query Wallet($customer: ID!, $first: Int = 20, $withLinks: Boolean = false) {
  customer(id: $customer) {
    name
    methods: paymentMethods(first: $first) { ...Line ... on Card { brand expiry } ... on BankAccount { rail } }
    links @include(if: $withLinks) { provider }
    sources { provider state }
  }
}
fragment Line on PaymentMethod { __typename id label provider isDefault }
"""
SET_DEFAULT = """
mutation SetDefault($customer: ID!, $method: ID!, $key: IdempotencyKey!) {
  setDefaultPaymentMethod(input: {customerId: $customer, paymentMethodId: $method, idempotencyKey: $key}) {
    operation { id state replayed }
    userErrors { __typename code message path }
    customer { defaultMethod { id } }
  }
}
"""
DELETE = """
mutation Delete($input: DeletePaymentMethodInput!) {
  deletePaymentMethod(input: $input) { operation { id state } userErrors { code message } deletedId }
}
"""
ADD = """
mutation Add($input: AddPaymentMethodInput!) {
  addPaymentMethod(input: $input) {
    operation { id state replayed } userErrors { code message path } paymentMethod { id label }
  }
}
"""
HIDDEN = "mutation Hidden($input: DeletePaymentMethodInput!) { deletePaymentMethod(input: $input) { deletedId } }"
CHANGES = "subscription Changes($id: ID!) { customerEvents(customerId: $id) { id } }"
BIN = "query Bin($id: ID!) { paymentMethod(id: $id) { ... on Card { bin } } }"
DOCUMENTS = {
    "wallet": WALLET, "set": SET_DEFAULT, "delete": DELETE, "add": ADD,
    "hidden": HIDDEN, "changes": CHANGES, "bin": BIN,
}  # fmt: skip
FOR_AGENTS = ("set", "delete", "add")
SCOPES = ("customers:read", "payment_methods:read", "payment_methods:write", "links:read")
MODES = ("auto", "legacy")
"""The newest revision of the protocol, without a handshake, and the ones before it."""


@asynccontextmanager
async def agent(url: str, headers: Mapping[str, str], mode: str = "auto") -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers=dict(headers), timeout=60) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client
