"""The largest admitted documents do not delay small requests until they complete.

Judged by order, not time: while one large response is built, small requests are answered one after another. If the
event loop were blocked, at most one would be.
"""

import asyncio
from typing import Any, Final

import aiohttp
import pytest

from tests.support.gateway import RunningGateway
from tests.support.gateways import StartGateway, patient

SMALL: Final = {"query": "{ viewer { __typename } }"}
_METHOD: Final = "id provider kind last4 label status isDefault holderName"


def nested(levels: int) -> str:
    """`paymentMethods { customer { paymentMethods { ... } } }`, with this many levels of methods."""
    inner = f"paymentMethods {{ {_METHOD} }}"
    for _ in range(levels - 1):
        inner = f"paymentMethods {{ id customer {{ {inner} }} }}"
    return f'{{ customer(id: "cus_alex") {{ {inner} }} }}'


def aliased(count: int) -> str:
    """Three levels of methods under this many aliases."""
    inner = f"id customer {{ paymentMethods {{ id customer {{ paymentMethods {{ {_METHOD} }} }} }} }}"
    fields = " ".join(f"a{number}: paymentMethods {{ {inner} }}" for number in range(count))
    return f'{{ customer(id: "cus_alex") {{ {fields} }} }}'


def many(count: int) -> str:
    """This many customers in one list."""
    ids = ", ".join(f'"cus_load-{number:04d}"' for number in range(1, count + 1))
    return (
        f"{{ nodes(ids: [{ids}]) {{ ... on Customer {{ id paymentMethods {{ {_METHOD} }} sources {{ state }} }} }} }}"
    )


WORST: Final = {"nested": nested(4), "aliased": aliased(6), "many": many(80)}


@pytest.fixture
def gateway(start_gateway: StartGateway) -> RunningGateway:
    return start_gateway(**patient(fresh_for_s=600))


@pytest.mark.parametrize("shape", WORST)
async def test_small_requests_are_answered_while_a_large_answer_is_made(shape: str, gateway: RunningGateway) -> None:
    async with aiohttp.ClientSession(headers=gateway.headers) as session:

        async def ask(body: dict[str, Any]) -> tuple[int, Any]:
            async with session.post(f"{gateway.url}/graphql", json=body) as reply:
                return reply.status, await reply.json()

        status, answer = await ask({"query": WORST[shape]})  # reads the vaults: from here on snapshots are fresh
        assert (status, answer.get("errors")) == (200, None)
        await ask(SMALL)
        large = asyncio.create_task(ask({"query": WORST[shape]}))
        answered = 0
        while not large.done():
            status, answer = await ask(SMALL)
            assert (status, answer["data"]) == (200, {"viewer": {"__typename": "Viewer"}})
            answered += 1
        assert (await large)[0] == 200
        assert answered >= 3, f"{answered} small requests were answered while one large answer was made"
