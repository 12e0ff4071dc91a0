"""A minimal keep-alive HTTP/1.1 client for vault calls. Rationale: docs/decisions/0004-lean-transport.md."""

from app.http.transports.lean.transport import LeanTransport

__all__ = ["LeanTransport"]
