"""The published samples of "PUT v1/Customers/Payment/Token", in every published media type."""

import json
import re
from pathlib import Path

import pytest

from tests.support.aloha import Aloha

SAMPLES = {
    (path.stem, media_type): path
    for path in sorted((Path(__file__).parents[1] / "documented" / "aloha").glob("put_token_*.json"))
    for media_type in json.loads(path.read_text())["request"]["media_types"]
}
GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def test_both_samples_are_here() -> None:
    assert sorted(SAMPLES) == [
        ("put_token_json", "application/json"),
        ("put_token_json", "text/json"),
        ("put_token_xml", "application/xml"),
        ("put_token_xml", "text/xml"),
    ]


@pytest.mark.parametrize("key", sorted(SAMPLES), ids="-".join)
async def test_sample_gets_the_published_reply_except_the_guid(key: tuple[str, str]) -> None:
    sample = json.loads(SAMPLES[key].read_text())
    vault = Aloha()
    before = await vault.listed()

    reply = await vault.call(
        sample["request"]["method"],
        sample["request"]["path"],
        body=sample["request"]["body"].encode(),
        content_type=key[1],
        accept=key[1],
    )

    published = sample["response"]["body"]
    assert reply.status == sample["response"]["status"]
    assert reply.headers["content-type"].partition(";")[0] == key[1]
    assert re.sub(GUID, "GUID", reply.body.decode()) == re.sub(GUID, "GUID", published)
    made = re.search(GUID, reply.body.decode())
    assert made is not None
    assert await vault.listed() == [
        *before,
        {
            "AccountId": made[0],
            "MethodType": 6,
            "AccountNumber": "201:1234567890123456",
            "ExpirationDate": "2017-12-01",
            "SecurityCode": None,
            "ZipCode": None,
            "MaskedAccountNumber": "123456xxxxxx7890",
            "MaskedExpirationDate": None,
            "ProviderType": 2,
        },
    ]
