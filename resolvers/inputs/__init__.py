"""The graph's inputs. Enums are registered before any input mentions one."""

from resolvers.types import enums as enums
