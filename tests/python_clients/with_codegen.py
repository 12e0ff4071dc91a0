"""with_codegen.py URL TOKEN: asks for a wallet with the client that ariadne-codegen made in this folder."""

import asyncio
import json
import sys

from wallet_client import Client

url, token = sys.argv[1:]


async def main() -> None:
    async with Client(url=url, headers={"Authorization": f"Bearer {token}"}) as client:
        customer = (await client.wallet(id="cus_alex")).customer
    assert customer is not None
    assert customer.payment_methods is not None
    kinds = sorted({type(one).__name__ for one in customer.payment_methods})
    print(json.dumps({"name": customer.name, "methods": len(customer.payment_methods), "kinds": kinds}))


asyncio.run(main())
