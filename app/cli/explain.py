"""`vaultgraph explain`: shows how each operation of a document runs and its maximum cost."""

import sys
from collections.abc import Iterator
from typing import TextIO

import click
from graphql import GraphQLError, OperationDefinitionNode

from app.api.limits import Limiter
from app.api.problems import RequestRefused
from app.errors import VaultgraphError
from app.execution.documents import Document, DocumentCache
from app.execution.measure import Load, Unsupported
from app.execution.plan import Plan
from app.settings.model import ApiSettings
from app.wallet.caller import ALL_SCOPES, Caller
from resolvers.schema import schema


@click.command(
    "explain",
    help="Show how each operation of FILE (- for standard input) runs: plan or reason for none, loads, cost.\n\n"
    "Exit status 1 if the document is invalid or an operation has no plan.",
)
@click.argument("file", type=click.File("r", encoding="utf-8"))
def command(file: TextIO) -> None:
    sys.exit(0 if _explain(file.read()) else 1)


def _located(fault: GraphQLError) -> str:
    place = fault.locations[0] if fault.locations else None
    return fault.message if place is None else f"line {place.line}, column {place.column}: {fault.message}"


def _explain(text: str) -> bool:
    """Print how each operation runs; True if all have plans. Raises VaultgraphError for an invalid document."""
    limiter = Limiter(schema._schema)
    documents = DocumentCache(
        schema._schema, max_bytes=0, max_tokens=ApiSettings().tokens, suggest=True, screen=limiter.screen
    )
    document = documents.prepare(text)
    if document.parse_error is not None:
        raise VaultgraphError(f"FILE is not a GraphQL document: {_located(document.parse_error)}")
    if document.errors:
        raise VaultgraphError("; ".join(map(_located, document.errors)))
    all_planned = True
    for name, operation in document.operations.items():
        try:
            found = Plan(schema, operation, document.fragments).measurement
        except Unsupported as unsupported:
            all_planned = False
            lines = [f"not planned: {unsupported}; graphql-core runs it"]
        else:
            lines = [f"planned: {found.size} fields", *_dependencies(found.conditions), *map(_load, found.loads)]
        click.echo(f"{operation.operation.value} {name or '(without a name)'}")
        for line in [*lines, *_price(limiter, document, operation)]:
            click.echo(f"  {line}")
    return all_planned


def _dependencies(conditions: tuple[str, ...]) -> Iterator[str]:
    if conditions:
        yield "one variant for each combination of " + ", ".join(f"${name}" for name in conditions)


def _load(load: Load) -> str:
    calls = f", up to {load.calls} call{'s' if load.calls != 1 else ''}" if load.calls is not None else ""
    needs = f", needs {' or '.join(load.needs)}" if load.needs else ""
    return f"load {load.coordinate}{calls}{needs}"


def _price(limiter: Limiter, document: Document, operation: OperationDefinitionNode) -> Iterator[str]:
    """Price without variables: variables that set the length of a list can only add to it."""
    found = limiter.estimate(document, operation, {})
    yield found.summary
    try:
        limiter.admit(document, operation, {}, Caller(name="explain", scopes=ALL_SCOPES))
    except RequestRefused as refused:
        yield f"refused: {refused.code}: {refused.message}"
    else:
        yield f"price without variables: {found.price}"
