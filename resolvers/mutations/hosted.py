"""Mutations for capturing numbers in a browser, so that none passes through the gateway."""

import strawberry

from app.errors import FieldFault, VaultError
from app.vault.payments import CaptureForm, FormVault, TokenizingVault
from app.wallet.commands import WriteResult
from app.wallet.problems import WriteProblem, not_found, unsupported
from app.wallet.writes.refusals import problems_of
from resolvers.context import Info
from resolvers.inputs.fields import given
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
            problems, found = await _tokenization(info, input)
        return CreateTokenizationPayload(result=WriteResult(problems=problems), tokenization=found)


async def _tokenization(
    info: Info, input: CreateTokenizationInput
) -> tuple[tuple[WriteProblem, ...], GraphTokenization | None]:
    name, method_id = input.provider, given(input.payment_method_id)
    entry = await info.context.entry(input.customer_id)
    if entry is None:
        return (not_found("There is no such customer.", "customer_id"),), None
    link = entry.link(name)
    address = info.context.services.ids.decode(method_id) if method_id is not None else None
    ref = link.customer_ref if link else None
    if method_id is not None and (address is None or (address.provider, address.customer_ref) != (name, ref)):
        return (not_found("There is no such payment method.", "payment_method_id"),), None
    vault = info.context.services.reader.providers.get(name)
    form = CaptureForm(
        kind=input.kind,
        account_type=given(input.account_type),
        method_ref=address.method_ref if address else None,
    )
    try:
        if isinstance(vault, FormVault):
            found = await vault.capture_form(ref, form, info.context.call)
        elif not isinstance(vault, TokenizingVault):
            return (unsupported(name, "This vault does not support capturing in a browser.", "provider"),), None
        elif address is not None:
            return (unsupported(name, "This vault has no form for stored methods.", "payment_method_id"),), None
        else:
            found = await vault.tokenization(ref, info.context.call)
    except VaultError as error:
        return problems_of(error, _path_of), None
    return (), GraphTokenization.of(name, found)


def _path_of(fault: FieldFault) -> tuple[str, ...]:
    return ("payment_method_id",) if fault.path == ("method_ref",) else fault.path
