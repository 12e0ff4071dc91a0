"""Bulk import of existing processor tokens (body and reply assumed): each item has its own result."""

from datetime import datetime
from typing import Any, Final

from app.sandbox.base import Json
from app.sandbox.caselle import tokenizer
from app.sandbox.caselle.problems import CaselleProblem, CaselleRefusal
from app.sandbox.caselle.shapes import IMPORT_METHOD, Rows, Shape, detail_of, fit
from app.sandbox.caselle.wallets import check_enabled, customer_of, keep
from app.sandbox.checks import text

MOST_ITEMS: Final = 1000
_ITEM: Final = Shape(
    {"customer_uid": text(100, shortest=1), "processor_token": text(200, shortest=1), "payment_method": IMPORT_METHOD},
    ("customer_uid", "processor_token", "payment_method"),
)
_BODY: Final = Shape({"items": Rows(_ITEM)}, ("items",))


def bulk(state: Json, account: Json, body: Any, now: datetime) -> Json:
    """A token imported before gets its first uid again, while that method exists."""
    items = fit(body, _BODY)["items"]
    if len(items) > MOST_ITEMS:
        raise CaselleRefusal(CaselleProblem.TOO_MANY_ITEMS)
    results = []
    for index, item in enumerate(items):
        try:
            uid = _one(state, account, item, now)
        except CaselleRefusal as refused:
            error = {"code": refused.code, "detail": refused.detail}
            results.append({"index": index, "status": "failed", "error": error})
        else:
            results.append({"index": index, "status": "imported", "saved_payment_method_uid": uid})
    imported = sum(result["status"] == "imported" for result in results)
    return {"results": results, "imported": imported, "failed": len(results) - imported}


def _one(state: Json, account: Json, item: Json, now: datetime) -> str:
    method_type, face = detail_of(item["payment_method"], ("credit", "ach"))
    customer = customer_of(state, account["uid"], item["customer_uid"])
    check_enabled(account, method_type)
    key = f"{account['uid']}/{tokenizer.digest(item['processor_token'])}"
    known = state["imported"].get(key)
    if known is not None and any(method["uid"] == known for method in customer["methods"]):
        return str(known)
    method = keep(customer, method_type, face, now)
    state["imported"][key] = method["uid"]
    return str(method["uid"])
