"""The graph's types. Enums are registered before any type mentions one."""

from resolvers.types import enums as enums
