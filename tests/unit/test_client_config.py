"""`vaultgraph schema --client apollo`: the cache's options follow from the schema."""

from graphql import build_schema

from app.api.client_config import apollo_config
from resolvers.schema import print_sdl


def test_interfaces_values_and_connections() -> None:
    config = apollo_config(build_schema(print_sdl()))
    assert config["possibleTypes"]["PaymentMethod"] == ["BankAccount", "Card", "OtherMethod"]
    assert config["possibleTypes"]["UserError"] == ["ConflictError", "DuplicateError", "InputError", "ProviderError"]
    policies = config["typePolicies"]
    assert policies["Money"] == {"merge": True}
    assert "Card" not in policies, "it has an id"
    assert policies["Customer"]["fields"]["events"] == {"keyArgs": False}
    assert policies["Customer"]["fields"]["paymentMethodsConnection"] == {"keyArgs": ["filter", "orderBy"]}
    assert "AddPaymentMethodPayload" not in policies
    assert "merge" not in policies["Query"]
