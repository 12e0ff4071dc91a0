"""The exception that transports use internally."""

from app.http.transports.base import Cause


class ReplyRefused(Exception):
    """The reply is unusable; its connection must be closed."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.value)
        self.cause = cause
