"""HTTP clients that wrap an adapter's client to record or change its requests."""

from collections.abc import Callable

from app.http.client import VaultHttpClient
from app.http.message import CallLike, VaultHttp, VaultReply, VaultRequest
from app.providers.base import VaultAdapter

Bend = Callable[[VaultRequest], VaultRequest]


class BendingDoor:
    """Records every request in `sent`, changes it with `bend`, and sends it over real HTTP."""

    def __init__(self, door: VaultHttp, bend: Bend = lambda request: request) -> None:
        self.sent: list[VaultRequest] = []
        self._door = door
        self._bend = bend

    async def send(self, request: VaultRequest, call: CallLike) -> VaultReply:
        self.sent.append(request)
        return await self._door.send(self._bend(request), call)

    async def close(self) -> None:
        await self._door.close()

    def put_elements(self) -> list[list[dict[str, object]]]:
        """The `PaymentAccounts` elements of every LoanPro PUT."""
        return [request.json["PaymentAccounts"]["results"] for request in self.sent if request.method == "PUT"]


def bent(vault: VaultAdapter, bend: Bend = lambda request: request) -> BendingDoor:
    """Wrap the adapter's client."""
    assert isinstance(vault._http, VaultHttpClient)
    door = BendingDoor(vault._http, bend)
    vault._http = door
    return door
