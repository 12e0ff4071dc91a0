"""Aloha's error replies. The bodies are unpublished; this uses ASP.NET Web API's shape."""

from collections.abc import Mapping

from app.sandbox.base import Json


class AlohaRefusal(Exception):
    """Carries the HTTP reply. Raised before any change."""

    def __init__(self, status: int, body: Json, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"refused with {status}")
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


def invalid(faults: Mapping[str, str]) -> AlohaRefusal:
    """400 with one message for each bad field, keyed as ``header.CardToken``."""
    return AlohaRefusal(400, {"Message": "The request is invalid.", "ModelState": {k: [v] for k, v in faults.items()}})


def named(status: int, name: str) -> AlohaRefusal:
    """One of the named errors: BadRequest, NotFound, DuplicateKey."""
    return AlohaRefusal(status, {"Message": name})
