"""The import mutation."""

import strawberry

from resolvers.context import Info
from resolvers.inputs.importing import ImportPaymentMethodsInput
from resolvers.mutations.run import run
from resolvers.scopes import scoped
from resolvers.types.payloads import ImportPaymentMethodsPayload


@strawberry.type
class ImportMutations:
    @scoped("import:write", calls=40, description="Link existing vault customers and import cards, row by row.")
    async def import_payment_methods(
        self, info: Info, input: ImportPaymentMethodsInput
    ) -> ImportPaymentMethodsPayload | None:
        return ImportPaymentMethodsPayload(result=await run(info, input))
