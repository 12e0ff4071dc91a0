"""Aloha's error replies. The bodies are unpublished; this uses ASP.NET Web API's shape."""

from collections.abc import Mapping

from app.sandbox.json_api import SandboxRefusal


def invalid(faults: Mapping[str, str]) -> SandboxRefusal:
    """400 with the documented name, and one message for each bad field, keyed as ``header.CardToken``."""
    return SandboxRefusal(400, {"Message": "BadRequest", "ModelState": {k: [v] for k, v in faults.items()}})


def named(status: int, name: str) -> SandboxRefusal:
    """One of the named errors: BadRequest, NotFound, DuplicateKey."""
    return SandboxRefusal(status, {"Message": name})
