"""Every sample of Caselle's page "Customers & wallets", sent to the emulator with its tokens and uids."""

import json
from pathlib import Path
from typing import Any

from app.sandbox.base import SandboxClock
from app.sandbox.caselle import CaselleEmulator
from tests.support.asgi import Reply, call

SAMPLES = Path(__file__).parents[1] / "documented" / "caselle"
CARD = {"kind": "card", "number": "4242424242424242", "exp_month": 12, "exp_year": 2040}


def sample(name: str) -> dict[str, Any]:
    return json.loads((SAMPLES / f"{name}.json").read_text())


def filled(value: Any, words: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: filled(entry, words) for name, entry in value.items()}
    if isinstance(value, str):
        for word, replacement in words.items():
            value = value.replace(word, replacement)
    return value


class Page:
    """Sends samples; `words` maps the page's placeholders to real values."""

    def __init__(self) -> None:
        self.emulator = CaselleEmulator(SandboxClock())
        self._app = self.emulator.asgi()
        shown = self.emulator.credentials("http://sandbox.test")
        self._bearer = {"Authorization": shown["headers"]["Authorization"]}
        self.words = {"{yourUserId}": "user-1", "{uid}": shown["payment_account_uid"]}

    async def play(self, name: str, body: Any = None) -> Reply:
        request = sample(name)["request"]
        headers = {**self._bearer, **filled(request["headers"], self.words)}
        words = self.words | {"{uid}": self.words.get("{customerUid}", "")}
        sent = body if "json" not in request else filled(request["json"], words)
        return await call(
            self._app, request["method"], "/" + filled(request["path"], words), json=sent, headers=headers
        )

    async def saved_card(self) -> Reply:
        created = await self.play("create_customer")
        self.words["{customerUid}"] = created.json()["uid"]
        self.words["{proxynized_token}"] = self.emulator.mint_token(CARD)["token"]
        saved = await self.play("save_payment_method")
        self.words["spm_…"] = self.words["{savedPaymentMethodUid}"] = saved.json()["saved_payment_method_uid"]
        return saved


def test_each_sample_names_its_source() -> None:
    assert len(list(SAMPLES.glob("*.json"))) == 7
    assert all("Customers & wallets" in sample(path.stem)["source"] for path in SAMPLES.glob("*.json"))


async def test_create_and_conflict() -> None:
    page = Page()
    first, second = await page.play("create_customer"), await page.play("create_customer")
    assert first.status == 201
    sent = sample("create_customer")["request"]["json"] | {"reference_id": "user-1"}
    assert {name: first.json()[name] for name in sent} == sent
    assert first.json()["uid"].startswith("cus_")
    assert (second.status, second.json()["code"]) == (409, "customer_exists")


async def test_save_swaps_the_token() -> None:
    page = Page()
    saved = await page.saved_card()
    assert saved.status == 201
    answer, documented = saved.json(), sample("save_payment_method")["response"]["json"]
    assert list(answer) == list(documented)
    assert answer["saved_payment_method_uid"].startswith("spm_")
    sent = sample("save_payment_method")["request"]["json"]["payment_method"]["credit"]
    credit = answer["payment_method"]["credit"]
    permanent = credit["fingerprint"]
    assert credit == sent | {"fingerprint": permanent}
    assert permanent not in ("{proxynized_token}", page.words["{proxynized_token}"])
    kept = json.dumps(page.emulator.state)
    assert [word in kept for word in (permanent, page.words["{proxynized_token}"], CARD["number"])] == [False] * 3


async def test_list_is_sanitized_then_default_then_delete() -> None:
    page = Page()
    await page.saved_card()
    uid = page.words["spm_…"]
    face = dict(sample("save_payment_method")["request"]["json"]["payment_method"]["credit"])
    del face["fingerprint"]
    method = {"payment_method_type": "credit", "credit": face}
    row = {"saved_payment_method_uid": uid, "is_default": False, "payment_method": method}
    assert (await page.play("list_payment_methods")).json() == [row]
    made = await page.play("set_default_payment_method", {"saved_payment_method_uid": uid})
    assert (made.status, made.json()["default_saved_payment_method_uid"]) == (200, uid)
    assert (await page.play("list_payment_methods")).json() == [row | {"is_default": True}]
    removed = await page.play("delete_payment_method")
    assert (removed.status, removed.body) == (204, b"")
    assert (await page.play("list_payment_methods")).json() == []


async def test_pay_in_both_phases() -> None:
    page = Page()
    await page.saved_card()
    quoted = await page.play("pay_with_wallet")
    assert quoted.status == 200
    quote = quoted.json()
    assert quote["uid"].startswith("pay_")
    assert {name: quote[name] for name in quote if name != "uid"} == {
        "processing_fee_amount": 99,
        "total_amount": 12444,
        "payment_method": {"payment_method_type": "wallet_credit"},
    }


async def test_import() -> None:
    page = Page()
    await page.saved_card()
    face = {"last4": "1111", "exp_month": 1, "exp_year": 2040, "card_brand": "VISA", "holder_name": "Alex Morales"}
    item = {
        "customer_uid": page.words["{customerUid}"],
        "processor_token": "zift-tok-1",
        "payment_method": {"payment_method_type": "credit", "credit": face},
    }
    outcome = await page.play("import_payment_methods", {"items": [item]})
    assert outcome.status == 200
    assert outcome.json() == {
        "results": [
            {
                "index": 0,
                "status": "imported",
                "saved_payment_method_uid": outcome.json()["results"][0]["saved_payment_method_uid"],
            }
        ],
        "imported": 1,
        "failed": 0,
    }
