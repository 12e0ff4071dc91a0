"""Every sample of J.P. Morgan's guide gets the guide's reply from the emulator: the same fields and types."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.sandbox.base import SandboxClock
from app.sandbox.jpmorgan import JpMorganEmulator
from tests.support.asgi import call

SAMPLES = Path(__file__).parents[1] / "documented" / "jpmorgan"
BASE = "/api/v2/mmp/"
FIRST, SECOND = "77ccba29-4857-494a-82bc-2a80e1fa2b9d", "63aaba29-4857-494a-82bc-2a80e1fa2b1e"


def sample(name: str) -> dict[str, Any]:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def shape(value: Any) -> Any:
    """Field names and types, in order; for a list, the set of its entries' shapes."""
    if isinstance(value, dict):
        return {name: shape(entry) for name, entry in value.items()}
    if isinstance(value, list):
        shapes: list[Any] = []
        shapes.extend(found for entry in value if (found := shape(entry)) not in shapes)
        return shapes
    return type(value).__name__


def test_each_sample_names_its_source() -> None:
    assert sorted(path.stem for path in SAMPLES.glob("*.json")) == [
        "add_payment_method",
        "delete_payment_method",
        "set_default",
        "three_ds_status",
        "update_payment_method",
    ]
    assert all("J.P. Morgan" in sample(path.stem)["source"] for path in SAMPLES.glob("*.json"))


class Guide:
    """The guide's profile before its first call, with one card and no default, and its calls with real ids."""

    def __init__(self) -> None:
        self.emulator = JpMorganEmulator(SandboxClock())
        self.headers = self.emulator.credentials("http://sandbox.test")["headers"] | {"userIdentifier": "jack"}
        profile = self.emulator.state["profiles"]["993371390059/PACJGQ"]
        profile["methods"] = profile["methods"][:1]
        profile["addresses"] = profile["addresses"][:1]
        profile["default"] = None
        self._app = self.emulator.asgi()
        self._ids = {SECOND: SECOND}

    async def play(self, name: str) -> Any:
        request = sample(name)["request"]
        path = BASE + request["path"].replace(SECOND, self._ids[SECOND])
        reply = await call(self._app, request["method"], path, json=request.get("json"), headers=self.headers)
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
        if name == "add_payment_method":
            self._ids[SECOND] = reply.json()["paymentMethodType"]["cardList"][1]["paymentMethodId"]
        return reply.json()


async def test_the_guide_from_its_first_call_to_its_last_delete() -> None:
    guide = Guide()
    answers = {
        name: await guide.play(name)
        for name in ("add_payment_method", "update_payment_method", "set_default", "delete_payment_method")
    }
    for name, answer in answers.items():
        assert shape(answer) == shape(sample(name)["response"]["json"]), name
        assert list(answer) == list(sample(name)["response"]["json"]), name
    cards = {name: answer["paymentMethodType"]["cardList"] for name, answer in answers.items()}
    assert [[card["last4CardNumber"] for card in found] for found in cards.values()] == [
        ["9999", "0919"],
        ["9999", "0919"],
        ["9999", "0919"],
        ["0919"],
    ]
    added, updated = cards["add_payment_method"][1], cards["update_payment_method"][1]
    assert added["paymentMethodId"] == updated["paymentMethodId"]
    assert added["addressIdentifier"] != updated["addressIdentifier"]
    assert [len(answer["addresses"]) for answer in answers.values()] == [2, 3, 3, 3]
    assert answers["set_default"]["paymentMethodType"]["defaultMOP"] == {"card": updated}
    assert len({answer["updateTimestamp"] for answer in answers.values()}) == 4


async def test_the_demo_profile_answers_the_guide_too() -> None:
    guide = Guide()
    guide.emulator.reset()
    for name in ("add_payment_method", "update_payment_method", "set_default", "delete_payment_method"):
        expected, answer = shape(sample(name)["response"]["json"]), shape(await guide.play(name))
        answer["paymentMethodType"].pop("defaultMOP", None)  # the guide's profile has none at first
        expected["paymentMethodType"].pop("defaultMOP", None)
        assert answer == expected, name


async def test_three_ds_status_matches_the_guide() -> None:
    guide = Guide()
    guide.emulator.reset()
    expected = sample("three_ds_status")["response"]["json"]
    guide.headers["requestIdentifier"] = expected["requestId"]
    assert await guide.play("three_ds_status") == expected


@pytest.mark.parametrize("name", ["add_payment_method", "update_payment_method"])
async def test_no_number_is_stored_or_returned(name: str) -> None:
    guide = Guide()
    answer = await guide.play("add_payment_method")
    if name != "add_payment_method":
        answer = await guide.play(name)
    number = sample("add_payment_method")["request"]["json"]["cardList"][0]["accountNumber"]
    assert number not in json.dumps(answer)
    assert number not in json.dumps(guide.emulator.state)
