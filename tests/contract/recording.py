"""HTTP clients that wrap an adapter's client to record or change its requests."""

from collections.abc import Callable

from app.http.client import VaultHttpClient
from app.http.message import CallLike, VaultHttp, VaultReply, VaultRequest
from app.providers.base import VaultAdapter

Bend = Callable[[VaultRequest], VaultRequest]


class RewritingClient:
    """Records every request in `sent`, changes it with `bend`, and sends it over real HTTP."""

    def __init__(self, client: VaultHttp, bend: Bend = lambda request: request) -> None:
        self.sent: list[VaultRequest] = []
        self._client = client
        self._bend = bend

    async def send(self, request: VaultRequest, call: CallLike) -> VaultReply:
        self.sent.append(request)
        return await self._client.send(self._bend(request), call)

    async def close(self) -> None:
        await self._client.close()

    def put_elements(self) -> list[list[dict[str, object]]]:
        """The `PaymentAccounts` elements of every LoanPro PUT."""
        return [request.json["PaymentAccounts"]["results"] for request in self.sent if request.method == "PUT"]


def bent(vault: VaultAdapter, bend: Bend = lambda request: request) -> RewritingClient:
    """Wrap the adapter's client."""
    assert isinstance(vault._http, VaultHttpClient)
    client = RewritingClient(vault._http, bend)
    vault._http = client
    return client
