"""with_gql.py URL TOKEN SCHEMA: asks for a wallet; the schema comes by introspection, and from the file."""

import json
import sys
from pathlib import Path

import gql
import graphql
from gql.transport.aiohttp import AIOHTTPTransport

url, token, schema_file = sys.argv[1:]
sdl = Path(schema_file).read_text("utf-8")
document = gql.gql('{ customer(id: "cus_alex") { name paymentMethods { label } } }')


def answer(**options: object) -> object:
    transport = AIOHTTPTransport(url=url, headers={"Authorization": f"Bearer {token}"})
    client = gql.Client(transport=transport, **options)  # type: ignore[arg-type]
    data = client.execute(document)  # the document is checked against the client's schema first
    assert client.schema is not None
    graphql.assert_valid_schema(client.schema)
    return data


print(
    json.dumps(
        {
            "gql": gql.__version__,
            "core": graphql.version,
            "introspected": answer(fetch_schema_from_transport=True),
            "fromFile": answer(schema=sdl),
        }
    )
)
