"""GraphQL over HTTP multipart, for Apollo's and urql's clients. A part ends with the next part's delimiter, so that a
reader can show it at once.

Subscriptions (`subscriptionSpec=1.0`): every part is a JSON object with the execution result as `payload`; an empty
object is a heartbeat. A part without payload but with errors means that the stream broke: clients subscribe again
(Apollo's with `RetryLink`).
https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol

Operations with `@defer`: every part is a payload itself (`app.api.parts`).
"""

from typing import Any, Final

from app.api.negotiation import BOUNDARY, PartsFormat
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


class MultipartParts:
    """Implements `app.api.streams.sse.Framing` for an operation with `@defer`."""

    ending: Final = Multipart.ending
    opening: Final = _DELIMITER

    def __init__(self, format: PartsFormat) -> None:
        self.content_type = f'multipart/mixed; boundary="{BOUNDARY}"; {format.value}'.encode()
        self.sign_of_life = _part({"hasNext": True})

    def next(self, body: dict[str, Any]) -> bytes:
        return _part(body)

    def cut_short(self, why: RequestRefused) -> bytes:
        return _part({"errors": why.as_errors(), "hasNext": False}) + self.ending


def _part(body: dict[str, Any]) -> bytes:
    return b"\r\ncontent-type: application/json\r\n\r\n%s\r\n%s" % (encode(body), _DELIMITER)


MULTIPART: Final = Multipart()
MULTIPART_PARTS: Final = {format: MultipartParts(format) for format in PartsFormat}
