"""Secrets belong in variables: a document that contains one is refused, and the error does not repeat it."""

import pytest

from app.execution.documents import DocumentCache
from resolvers.schema import schema
from resolvers.sensitive_rule import SecretsInVariablesOnly

DOCUMENTS = DocumentCache(
    schema._schema, max_bytes=1_000_000, max_tokens=1_000, suggest=False, rules=[SecretsInVariablesOnly]
)
SECRET = "tok_very_secret"
INPUT = '{customerId: "cus_a", idempotencyKey: "0123456789abcdef", method: {loanproToken: {kind: CARD, token: %s}}}'


def messages(text: str) -> list[str]:
    document = DOCUMENTS.get(text)
    assert document.parse_error is None, document.parse_error
    return [error.message for error in document.errors]


@pytest.mark.parametrize(
    "text",
    [
        f"mutation {{ addPaymentMethod(input: {INPUT % f'''{chr(34)}{SECRET}{chr(34)}'''}) {{ wasDuplicate }} }}",
        f"mutation ($i: AddPaymentMethodInput! = {INPUT % f'''{chr(34)}{SECRET}{chr(34)}'''})"
        " { addPaymentMethod(input: $i) { wasDuplicate } }",
        f'mutation ($t: SensitiveString! = "{SECRET}")'
        f" {{ addPaymentMethod(input: {INPUT % '$t'}) {{ wasDuplicate }} }}",
        f'mutation ($t: LoanProTokenInput! = {{kind: CARD, token: """{SECRET}"""}}) {{ addPaymentMethod(input: '
        '{customerId: "cus_a", idempotencyKey: "0123456789abcdef", method: {loanproToken: $t}}) { wasDuplicate } }',
    ],
)
def test_a_secret_in_the_text_is_refused_and_not_repeated(text: str) -> None:
    found = messages(text)
    assert found == ["A sensitive value must be sent in a variable, not in the document's text."]
    assert SECRET not in str(DOCUMENTS.get(text).errors)


@pytest.mark.parametrize(
    "text",
    [
        f"mutation ($t: SensitiveString!) {{ addPaymentMethod(input: {INPUT % '$t'}) {{ wasDuplicate }} }}",
        "mutation ($i: AddPaymentMethodInput!) { addPaymentMethod(input: $i) { wasDuplicate } }",
        '{ customer(id: "cus_a") { id } }',
    ],
)
def test_whatever_holds_no_secret_passes(text: str) -> None:
    assert messages(text) == []
