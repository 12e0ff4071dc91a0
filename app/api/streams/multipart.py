"""GraphQL subscriptions over HTTP multipart, for Apollo's and urql's clients: `subscriptionSpec=1.0`.

Every part is a JSON object with the execution result as `payload`; an empty object is a heartbeat. A part ends with the
next part's delimiter, so that a reader can show it at once. A part without payload but with errors means that the
stream broke: clients subscribe again (Apollo's with `RetryLink`).
https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol
"""

from typing import Any, Final

from app.api.negotiation import BOUNDARY
from app.api.problems import RequestRefused
from app.api.response import encode

_DELIMITER: Final = f"--{BOUNDARY}".encode()


class Multipart:
    """Implements `app.api.streams.sse.Framing`."""

    content_type: Final = f'multipart/mixed; boundary="{BOUNDARY}"; subscriptionSpec="1.0"'.encode()
    ending: Final = b"--\r\n"

    def __init__(self) -> None:
        self.sign_of_life = _part({})
        self.opening = _DELIMITER + self.sign_of_life

    def next(self, body: dict[str, Any]) -> bytes:
        return _part({"payload": body})

    def cut_short(self, why: RequestRefused) -> bytes:
        return _part({"payload": None, "errors": why.as_errors()}) + self.ending


def _part(body: dict[str, Any]) -> bytes:
    return b"\r\ncontent-type: application/json\r\n\r\n%s\r\n%s" % (encode(body), _DELIMITER)


MULTIPART: Final = Multipart()
