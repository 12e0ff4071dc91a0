"""The types of the schema. Enums must be registered before a type uses one."""

from resolvers.types import enums as enums
