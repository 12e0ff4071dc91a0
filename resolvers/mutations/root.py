"""The mutation type."""

import strawberry

from resolvers.mutations.customers import CustomerMutations
from resolvers.mutations.hosted import HostedMutations
from resolvers.mutations.importing import ImportMutations
from resolvers.mutations.methods import MethodMutations
from resolvers.mutations.payments import PaymentMutations


@strawberry.type(description="Every field is nullable: one refused field must not hide that another was applied.")
class Mutation(MethodMutations, CustomerMutations, ImportMutations, PaymentMutations, HostedMutations):
    pass
