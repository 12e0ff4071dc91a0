"""Errors shown to clients: each has a code in `extensions`."""

from typing import Any

from graphql import GraphQLError


class CodedError(GraphQLError):
    """An error for clients. Any other exception of a resolver is a bug and is masked."""

    def __init__(self, code: str, message: str, **extensions: Any) -> None:
        super().__init__(message, extensions={"code": code, **extensions})


class Forbidden(CodedError):
    def __init__(self, scopes: tuple[str, ...], message: str = "The caller lacks the scope for this field.") -> None:
        super().__init__("FORBIDDEN", message, requiresAnyOf=list(scopes))


class BadUserInput(CodedError):
    """`message` never quotes the value."""

    def __init__(self, message: str) -> None:
        super().__init__("BAD_USER_INPUT", message)


class SourcesUnavailable(CodedError):
    def __init__(self, message: str = "No linked vault answered.") -> None:
        super().__init__("SOURCES_UNAVAILABLE", message)


class CustomerMerged(CodedError):
    """The id is of a customer that was merged into another one, `into` if the caller may see that."""

    def __init__(self, into: str | None) -> None:
        shown = {"mergedInto": into} if into else {}
        super().__init__("CUSTOMER_MERGED", "This customer was merged into another one.", **shown)
