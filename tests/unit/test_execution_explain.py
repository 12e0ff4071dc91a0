"""`vaultgraph explain` shows how an operation runs, without a store, a vault or a server."""

from click.testing import CliRunner

from app.cli.main import main

TEXT = """query Wallet($id: ID!, $more: Boolean!) {
  customer(id: $id) { name paymentMethods { label authStatus ... on Card { bin @include(if: $more) } } }
}
query Types { __schema { types { name } } }"""


def asked(text: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["explain", "-"], input=text)
    return done.exit_code, done.output


def test_a_planned_operation_shows_its_loads_scopes_and_cost() -> None:
    code, output = asked(TEXT.splitlines()[0] + TEXT.splitlines()[1] + "}")
    assert code == 0
    lines = [line.strip() for line in output.splitlines()]
    assert lines[0] == "query Wallet"
    assert lines[1].startswith("planned: ")
    assert lines[2] == "one variant for each combination of $more"
    assert "load Query.customer, up to 4 calls, needs customers:read" in lines
    assert "load PaymentMethod.authStatus, up to 1 call" in lines
    assert not [line for line in lines if "label" in line]
    assert lines[-2] == "at most 4 vault calls, 10 more for single payment methods, 33 response fields"
    assert lines[-1] == "price without variables: 14"


def test_an_operation_whose_response_would_be_too_large_is_refused() -> None:
    loop = "customer { paymentMethods { " * 5 + "id" + " } }" * 5
    code, output = asked('{ customer(id: "c") { paymentMethods { ' + loop + " } } }")
    assert code == 0
    assert "1222222 response fields" in output
    assert (
        "refused: COST_ESTIMATED_TOO_EXPENSIVE: The response may contain 1222222 fields; 100000 are allowed." in output
    )


def test_an_operation_without_a_plan_reports_the_reason_and_fails() -> None:
    code, output = asked(TEXT)
    assert code == 1
    assert "query Types\n  not planned: introspection; graphql-core runs it\n" in output


def test_an_invalid_document_reports_its_validation_errors() -> None:
    code, output = asked("{ nothing }")
    assert code == 1
    assert "line 1, column 3: Cannot query field 'nothing' on type 'Query'." in output
    code, output = asked('{"format": 1}')
    assert code == 1
    assert "FILE is not a GraphQL document: line 1, column 2: " in output
