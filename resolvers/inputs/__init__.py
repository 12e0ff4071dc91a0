"""The inputs of the schema. Enums must be registered before an input uses one."""

from resolvers.types import enums as enums
