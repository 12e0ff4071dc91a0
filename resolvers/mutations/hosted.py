"""Mutations for capturing numbers in a browser, so that none passes through the gateway."""

import strawberry

from app.errors import VaultError
from app.vault.enums import ProviderName
from app.vault.payments import TokenizingVault
from app.wallet.commands import ProblemCode, WriteProblem, WriteResult
from app.wallet.writes.refusals import problems_of
from resolvers.context import Info
from resolvers.inputs.hosted import CreateHostedSessionInput, CreateTokenizationInput
from resolvers.inputs.rules import text_problems
from resolvers.mutations.run import run
from resolvers.scopes import scoped
from resolvers.types.payloads import CreateHostedSessionPayload, CreateTokenizationPayload, GraphTokenization


@strawberry.type
class HostedMutations:
    @scoped("payment_methods:write", calls=4, description="Open a page hosted by the vault for this customer.")
    async def create_hosted_session(
        self, info: Info, input: CreateHostedSessionInput
    ) -> CreateHostedSessionPayload | None:
        return CreateHostedSessionPayload(result=await run(info, input, input.problems))

    @scoped("payment_methods:write", calls=4, description="What a browser needs to capture a number for this vault.")
    async def create_tokenization(self, info: Info, input: CreateTokenizationInput) -> CreateTokenizationPayload | None:
        """Writes nothing, so it is not journalled; the response is not stored."""
        problems, found = tuple(text_problems(input)), None
        if not problems:
            problems, found = await _tokenization(info, input.customer_id, input.provider)
        return CreateTokenizationPayload(result=WriteResult(problems=problems), tokenization=found)


async def _tokenization(
    info: Info, customer_id: str, name: ProviderName
) -> tuple[tuple[WriteProblem, ...], GraphTokenization | None]:
    entry = await info.context.entry(customer_id)
    if entry is None:
        missing = WriteProblem(ProblemCode.NOT_FOUND, "There is no such customer.", ("customer_id",))
        return (missing,), None
    vault = info.context.services.reader.providers.get(name)
    if not isinstance(vault, TokenizingVault):
        message = "This vault does not support capturing in a browser."
        cannot = WriteProblem(ProblemCode.UNSUPPORTED_BY_PROVIDER, message, ("provider",), provider=name)
        return (cannot,), None
    link = entry.link(name)
    try:
        found = await vault.tokenization(link.customer_ref if link else None, info.context.call)
    except VaultError as error:
        return problems_of(error), None
    return (), GraphTokenization.of(name, found)
