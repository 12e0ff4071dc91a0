"""Two-phase payments: validate (fixes the fee), capture (repeats it exactly), refund.

A payment in the state: ``{account, status, quoted, shown, refunded_amount}``; ``quoted`` is what a capture must repeat,
with tokens as digests.
"""

from datetime import datetime
from typing import Final

from app.sandbox.base import Json
from app.sandbox.caselle import tokenizer
from app.sandbox.caselle.problems import CaselleProblem, CaselleRefusal
from app.sandbox.caselle.shapes import ANY_METHOD, CURRENCY, Shape, detail_of, fit, integer
from app.sandbox.caselle.wallets import check_enabled, new_uid, owner_of, stamp
from app.sandbox.checks import Check, text

DECLINED_LAST4: Final = "0002"
"""Methods with this last4 are declined at capture, like the industry's test card 4000 0000 0000 0002."""
_REFERENCE: Final[dict[str, Check]] = {"currency": CURRENCY, "reference_id": text()}
_QUOTE: Final = Shape(
    {"base_amount": integer(1), "tax_amount": integer(0), **_REFERENCE, "payment_method": ANY_METHOD},
    ("base_amount", "currency", "payment_method"),
)
_FEES: Final = ("processing_fee_amount", "total_amount")
_CAPTURE: Final = Shape(
    {**_QUOTE.properties, "processing_fee_amount": integer(0), "total_amount": integer(1)}, _QUOTE.needed
)
_CAPTURE_WITH_FEES: Final = Shape(_CAPTURE.properties, (*_QUOTE.needed, *_FEES))
_REFUND: Final = Shape({"amount": integer(1)})


def fee_for(method_type: str, base_amount: int) -> int:
    """The emulator's fee table: bank debits 50; cards 0.8 percent, rounded up, at least 99. Minor units."""
    return 50 if method_type.endswith("ach") else max(99, -(-base_amount * 8 // 1000))


def quote(state: Json, account: Json, body: Json, now: datetime) -> Json:
    values = fit(body, _QUOTE)
    method_type = _check_method(state, account, values["payment_method"], now)
    base, tax = values["base_amount"], values.get("tax_amount", 0)
    least, most = (round(account[f"{end}_payment_amount"] * 100) for end in ("minimum", "maximum"))
    if not least <= base <= most:
        raise CaselleRefusal(CaselleProblem.AMOUNT_OUT_OF_RANGE)
    fee = fee_for(method_type, base)
    uid = new_uid("pay")
    state["payments"][uid] = {
        "account": account["uid"],
        "status": "validated",
        "quoted": {**_comparable(values), "processing_fee_amount": fee, "total_amount": base + tax + fee},
        "shown": _sanitized(values["payment_method"]),
        "refunded_amount": 0,
    }
    return {
        "uid": uid,
        "processing_fee_amount": fee,
        "total_amount": base + tax + fee,
        "payment_method": state["payments"][uid]["shown"],
    }


def capture(state: Json, account: Json, uid: str, body: Json, now: datetime, *, needs_fees: bool) -> Json:
    """The captured or declined (`status` failed) payment. Without `needs_fees` the quote's body may be repeated as it
    was; fees that are sent must match in any case. Raises CaselleRefusal if nothing is changed.
    """
    payment = payment_of(state, account, uid)
    values = fit(body, _CAPTURE_WITH_FEES if needs_fees else _CAPTURE)
    if payment["status"] != "validated":
        raise CaselleRefusal(CaselleProblem.PAYMENT_CLOSED)
    quoted = payment["quoted"]
    fees = {name: values.get(name, quoted[name]) for name in _FEES}
    if {**_comparable(values), **fees} != quoted:
        raise CaselleRefusal(CaselleProblem.PAYMENT_MISMATCH)
    _check_method(state, account, values["payment_method"], now)
    is_declined = _last4(state, account, values["payment_method"]) == DECLINED_LAST4
    payment["status"] = "failed" if is_declined else "completed"
    payment["closed_at"] = stamp(now)
    return show(uid, payment)


def refund(state: Json, account: Json, uid: str, body: Json) -> Json:
    """Refund `amount`, by default the rest."""
    payment = payment_of(state, account, uid)
    values = fit(body, _REFUND)
    left = payment["quoted"]["total_amount"] - payment["refunded_amount"]
    amount = values.get("amount", left)
    if payment["status"] not in ("completed", "refunded") or not 0 < amount <= left:
        raise CaselleRefusal(CaselleProblem.NOT_REFUNDABLE)
    payment["status"] = "refunded"
    payment["refunded_amount"] += amount
    return show(uid, payment)


def payment_of(state: Json, account: Json, uid: str) -> Json:
    payment: Json | None = state["payments"].get(uid)
    if payment is None or payment["account"] != account["uid"]:
        raise CaselleRefusal(CaselleProblem.NO_SUCH_PAYMENT)
    return payment


def show(uid: str, payment: Json) -> Json:
    amounts = {name: value for name, value in payment["quoted"].items() if name != "payment_method"}
    return {
        "uid": uid,
        "status": payment["status"],
        **amounts,
        "refunded_amount": payment["refunded_amount"],
        "payment_method": payment["shown"],
        "captured_at": payment.get("closed_at"),
    }


def _check_method(state: Json, account: Json, method: Json, now: datetime) -> str:
    """The method's type, if it is usable. The call names no customer, so ownership is not checked."""
    method_type, detail = detail_of(method)
    check_enabled(account, method_type)
    if method_type.startswith("wallet_"):
        if _saved(state, account, detail)["payment_method_type"] != method_type.removeprefix("wallet_"):
            raise CaselleRefusal(CaselleProblem.WRONG_WALLET_TYPE)
    else:
        tokenizer.redeem(state, detail["fingerprint"], method_type, account["uid"], now)
    return method_type


def _saved(state: Json, account: Json, wallet: Json) -> Json:
    owned = owner_of(state, account["uid"], wallet["saved_payment_method_uid"])
    if owned is None:
        raise CaselleRefusal(CaselleProblem.NO_SUCH_METHOD)
    saved: Json = owned[1]["payment_method"]
    return saved


def _last4(state: Json, account: Json, method: Json) -> str:
    kind, detail = detail_of(method)
    if kind.startswith("wallet_"):
        saved = _saved(state, account, detail)
        detail = saved[saved["payment_method_type"]]
    return str(detail.get("last4") or detail.get("account_suffix"))


def _comparable(values: Json) -> Json:
    method = values["payment_method"]
    kind, detail = detail_of(method)
    if "fingerprint" in detail:
        detail = {**detail, "fingerprint": tokenizer.digest(detail["fingerprint"])}
    return {
        "base_amount": values["base_amount"],
        "tax_amount": values.get("tax_amount", 0),
        "currency": values["currency"],
        "reference_id": values.get("reference_id", ""),
        "payment_method": {"payment_method_type": kind, "detail": detail},
    }


def _sanitized(method: Json) -> Json:
    kind, detail = detail_of(method)
    shown: Json = {"payment_method_type": kind}
    if not kind.startswith("wallet_"):
        shown[kind] = {name: value for name, value in detail.items() if name != "fingerprint"}
    return shown
