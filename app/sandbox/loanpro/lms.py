"""LMS: paths below ``/api/public/api/1``. Every success is a 200 with a root `d`, also after POST."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlencode

from app.sandbox.base import Json, SandboxClock
from app.sandbox.loanpro import customers, odata, render, search
from app.sandbox.loanpro.accounts import Rules
from app.sandbox.loanpro.checks import children
from app.sandbox.loanpro.odata import ODataQuery, QueryError
from app.sandbox.loanpro.refusals import entity_error
from app.sandbox.loanpro.render import Style

PREFIX: Final = "/api/public/api/1/"


class Host(Protocol):
    """The emulator interface that these calls use."""

    state: Json
    clock: SandboxClock

    def switch(self, name: str) -> str: ...


@dataclass(frozen=True, slots=True)
class LmsRequest:
    """An LMS request: path captures, query options and decoded body."""

    host: Host
    groups: Mapping[str, str]
    options: Mapping[str, str]
    body: Any

    @property
    def state(self) -> Json:
        return self.host.state

    @property
    def query(self) -> ODataQuery:
        return odata.parse_query(self.options)

    @property
    def number(self) -> int:
        return int(self.groups["id"])

    @property
    def fields(self) -> Json:
        if not isinstance(self.body, dict):
            raise entity_error("Invalid JSON")
        return self.body

    @property
    def style(self) -> Style:
        switch = self.host.switch
        return Style(switch("FLAGS") == "strings", switch("CARD_DETAILS") == "full", switch("TOKEN_ECHO"))

    @property
    def rules(self) -> Rules:
        switch = self.host.switch
        return Rules(
            is_last_wins=switch("PRIMARY_CONFLICT") == "last_wins",
            allows_same_token=switch("ALLOW_DUPLICATE_TOKEN") == "1",
            now=self.host.clock.now().timestamp(),
        )

    @property
    def index_delay_s(self) -> float:
        return float(self.host.switch("SEARCH_DELAY_S"))


def answer(host: Host, method: str, path: str, options: Mapping[str, str], body: Callable[[], Any]) -> Json:
    """Serve one authenticated call; `path` starts with `PREFIX`. Decodes `body` only if needed. Raises
    SandboxRefusal.
    """
    for wanted, pattern, handler in _ROUTES:
        match = pattern.fullmatch(path.removeprefix(PREFIX)) if wanted == method else None
        if match:
            decoded = None if method == "GET" else body()
            try:
                shown: Json = handler(LmsRequest(host, match.groupdict(), options, decoded))
                return shown
            except QueryError:
                raise entity_error("Invalid query") from None
    raise entity_error("The requested endpoint does not exist", status=404, kind="NotFoundException")


def _create(request: LmsRequest) -> Json:
    customer = customers.create(request.state, request.fields, request.rules)
    return {"d": render.customer(customer, request.state, {}, request.style)}


def _get(request: LmsRequest) -> Json:
    customer = customers.find(request.state, request.number)
    return {"d": render.customer(customer, request.state, request.query.expand, request.style)}


def _list(request: LmsRequest) -> Json:
    query, state, style = request.query, request.state, request.style
    records: dict[str, Json] = state["customers"]
    wanted = records.values() if query.wanted_ids is None else _rows_by_id(records, query.wanted_ids)
    page, summary = odata.select([render.customer_row(customer) for customer in wanted], query)
    shown = [render.customer(records[str(row["id"])], state, query.expand, style) for row in page]
    for customer in shown:
        if "results" in customer["PaymentAccounts"]:
            customer["PaymentAccounts"] = _page_of(request, customer["PaymentAccounts"], f"Customers({customer['id']})")
    return {"d": {"results": shown, "summary": summary}}


def _update(request: LmsRequest) -> Json:
    state, now, delay_s = request.state, request.rules.now, request.index_delay_s
    customer, body = customers.find(state, request.number), request.fields
    row = search.visible_row(customer, now, delay_s)
    customers.update(state, customer, body, request.rules)
    customers.touch_index(customer, row, now)
    mode = request.host.switch("LINK_RESPONSE")
    if mode == "deferred" or not children(body, "PaymentAccounts"):
        return {"d": render.customer(customer, state, {}, request.style)}
    whole: odata.Expand = {"PaymentAccounts": {"CheckingAccount": {}, "CreditCard": {}}}
    shown = render.customer(customer, state, whole, request.style)
    shown["PaymentAccounts"]["results"].sort(key=lambda row: row["id"], reverse=mode == "expanded_newest_first")
    return {"d": shown}


def _list_accounts(request: LmsRequest) -> Json:
    records = render.accounts_of(customers.find(request.state, request.number), request.state)
    return {"d": _page_of(request, _accounts(request, records)["d"], f"Customers({request.number})")}


def _page_of(request: LmsRequest, rows: Json, owner: str) -> Json:
    """A page of a customer's profiles; some tenants ignore `nopaging` (assumed)."""
    switch, records = request.host.switch, rows["results"]
    if switch("PAGE_SIZE") == "none" or len(records) <= int(switch("PAGE_SIZE")):
        return rows
    size, start = int(switch("PAGE_SIZE")), rows.get("summary", {}).get("start", 0)
    if switch("PAGE_HINT") == "summary":
        return {"results": records[:size], "summary": {"start": start, "pageSize": size, "total": start + len(records)}}
    if switch("PAGE_HINT") == "silent":
        return {"results": records[:size]}
    following = {name: value for name, value in request.options.items() if name != "$skip"} | {"$skip": start + size}
    return {"results": records[:size], "__next": f"{owner}/PaymentAccounts?{urlencode(following, safe='$,/()')}"}


def _list_all_accounts(request: LmsRequest) -> Json:
    records: dict[str, Json] = request.state["accounts"]
    return _accounts(request, sorted(records.values(), key=lambda account: -account["id"]))


def _accounts(request: LmsRequest, records: list[Json]) -> Json:
    query, state, style = request.query, request.state, request.style
    page, summary = odata.select([render.account_row(account, state) for account in records], query)
    by_id = state["accounts"]
    shown = [render.account(by_id[str(row["id"])], state, query.expand, style) for row in page]
    return {"d": {"results": shown, "summary": summary}}


def _navigate(request: LmsRequest) -> Json:
    """A customer's other children, e.g. ``Customers(37)/Phones``."""
    name = request.groups["name"]
    whole = render.customer(
        customers.find(request.state, request.number), request.state, {name: request.query.expand}, request.style
    )
    return {"d": whole[name]}


def _get_account(request: LmsRequest) -> Json:
    return {"d": render.account(_account(request), request.state, request.query.expand, request.style)}


def _get_child(request: LmsRequest) -> Json:
    expand = {request.groups["name"]: request.query.expand}
    return {"d": render.account(_account(request), request.state, expand, request.style)[request.groups["name"]]}


def _account(request: LmsRequest) -> Json:
    account: Json | None = request.state["accounts"].get(str(request.number))
    if account is None:
        raise entity_error("Payment account not found")
    return account


def _search(request: LmsRequest) -> Json:
    """Pages with `$start`, not `$skip`."""
    now, delay_s = request.rules.now, request.index_delay_s
    seen = (search.visible_row(customer, now, delay_s) for customer in request.state["customers"].values())
    hits = search.search([row for row in seen if row], request.fields.get("query"))
    options = {
        "$skip" if name == "$start" else name: value for name, value in request.options.items() if name != "$skip"
    }
    page, summary = odata.select(hits, odata.parse_query(options))
    return {"d": {"results": page, "summary": {"totalHits": summary["total"], "totalTime": 1, "aggregations": []}}}


def _rows_by_id(records: dict[str, Json], numbers: tuple[int, ...]) -> list[Json]:
    return [records[str(number)] for number in numbers if str(number) in records]


def _route(method: str, pattern: str, handler: Callable[[LmsRequest], Json]) -> tuple[str, re.Pattern[str], Any]:
    # Pages write a key as `(37)`, replies as `(id=37)`.
    return method, re.compile(pattern.replace("KEY", r"\((?:id=)?(?P<id>\d{1,15})\)")), handler


_CHILDREN: Final = "|".join((*render.CUSTOMER_OBJECTS, *render.CUSTOMER_LISTS))
_ROUTES: Final = (
    _route("GET", r"odata\.svc/Customers(?:\(\))?", _list),
    _route("POST", r"odata\.svc/Customers(?:\(\))?", _create),
    _route("GET", r"odata\.svc/CustomersKEY", _get),
    _route("PUT", r"odata\.svc/CustomersKEY", _update),
    _route("GET", r"odata\.svc/CustomersKEY/PaymentAccounts(?:\(\))?", _list_accounts),
    _route("GET", rf"odata\.svc/CustomersKEY/(?P<name>{_CHILDREN})", _navigate),
    _route("GET", r"odata\.svc/PaymentAccounts(?:\(\))?", _list_all_accounts),
    _route("GET", r"odata\.svc/PaymentAccountsKEY", _get_account),
    _route("GET", r"odata\.svc/PaymentAccountsKEY/(?P<name>CheckingAccount|CreditCard)", _get_child),
    _route("POST", r"Customers/Autopal\.Search\(\)", _search),
)
