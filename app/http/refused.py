"""The one exception inside the transports."""

from app.http.transport import Cause


class Refused(Exception):
    """What arrived cannot be used, and neither can its connection."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.value)
        self.cause = cause
