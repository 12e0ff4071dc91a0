"""Secure Payments' HTTP API: paths below ``/secure-payments/api/``, with separate credentials.

The forms that change a stored profile are outside of ``api``. Source: LoanPro, "Create New Payment Profile Process".
"""

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.sandbox.base import Json
from app.sandbox.loanpro import secure
from app.sandbox.loanpro.lms import Host
from app.sandbox.loanpro.refusals import vault_error

ROOT: Final = "/secure-payments/"
PREFIX: Final = f"{ROOT}api/"
KINDS: Final = {"credit-card": "card", "card": "card", "checking-account": "bank"}


@dataclass(frozen=True, slots=True)
class Login:
    username: str
    password: str
    token: str
    secret: str


@dataclass(frozen=True, slots=True)
class LinkRequest:
    host: Host
    login: Login
    groups: Mapping[str, str]
    options: Mapping[str, str]
    body: Any
    mint: Callable[[Json], Json]

    @property
    def state(self) -> Json:
        return self.host.state

    @property
    def now(self) -> int:
        return int(self.host.clock.now().timestamp())

    @property
    def kind(self) -> str:
        return KINDS[self.groups["kind"]]


@dataclass(frozen=True, slots=True)
class Received:
    """`headers` by lower-case name, `options` of the query; `body` is decoded only if needed."""

    method: str
    path: str
    headers: Mapping[str, str]
    options: Mapping[str, str]
    body: Callable[[], Any]


def answer(host: Host, login: Login, received: Received, mint: Callable[[Json], Json]) -> Any:
    """Serve one call; text is a page, anything else is JSON. Raises SandboxRefusal."""
    for method, auth, pattern, handler in _ROUTES:
        match = pattern.fullmatch(received.path.removeprefix(PREFIX)) if method == received.method else None
        if match:
            _authorize(auth, host.state, login, received.headers, match.groupdict())
            body = received.body() if method != "GET" and auth != "empty" else None
            return handler(LinkRequest(host, login, match.groupdict(), received.options, body, mint))
    raise vault_error(404, "Not found")


def _authorize(auth: str, state: Json, login: Login, headers: Mapping[str, str], groups: Mapping[str, str]) -> None:
    """Both headers of the pair are required; the value of `Authorization` is the bare token."""
    given, secret = headers.get("authorization", ""), headers.get("secret", "")
    if auth in ("pair", "empty"):
        is_fine = given == login.token and secret == login.secret
    elif auth == "obo":
        is_fine = given in state["obo"]
    elif auth == "path":
        is_fine = groups["obo"] in state["obo"]
    else:
        is_fine = True
    if not is_fine:
        raise vault_error(401, "Unauthorized")


def _authenticate(request: LinkRequest) -> Json:
    body, login = request.body, request.login
    if not isinstance(body, dict) or (body.get("username"), body.get("password")) != (login.username, login.password):
        raise vault_error(401, "Invalid username or password")
    return {"token": login.token, "secret": login.secret}


def _update(request: LinkRequest) -> bool:
    (secure.update_card if request.kind == "card" else secure.update_bank)(request.state, request.body, request.now)
    return True


def _delete(request: LinkRequest) -> bool:
    secure.delete(request.state, request.body, request.kind, request.now)
    return True


def _link(request: LinkRequest) -> bool:
    secure.link(request.state, request.groups["id"], request.body, request.kind, request.now)
    return True


def _unlink(request: LinkRequest) -> bool:
    secure.unlink(request.state, request.groups["id"], request.body, request.kind, request.now)
    return True


_FORMS: Final[Mapping[str, tuple[str, ...]]] = {
    "capture-form": ("number", "exp_month", "exp_year", "holder_name"),
    "check-capture-form": ("number", "routing_number", "account_type", "holder_name"),
    "edit-form": ("exp_month", "exp_year", "holder_name"),
    "check-edit-form": ("account_type", "holder_name"),
}


def _page(request: LinkRequest) -> str:
    """The iframe: posts the form here, then sends `{status, token}` to its parent page."""
    form = request.groups["form"]
    if form.endswith("edit-form"):
        _profile(request)
    fields = "".join(
        f"<label>{name} <input name='{name}' value='{html.escape(request.options.get(name, ''), quote=True)}' "
        "required></label>"
        for name in _FORMS[form]
    )
    return _PAGE.replace("FIELDS", fields)


def _capture(request: LinkRequest) -> Json:
    """Handles the page's form. The real iframe sends `{status: 200, token}` to its parent."""
    form = request.groups["form"]
    if not isinstance(request.body, dict):
        raise vault_error(400, "Invalid data")
    try:
        if form.endswith("edit-form"):
            secure.edit(_profile(request), request.body)
            return {"status": 200, "token": request.options["account"]}
        chosen = {name: value for name, value in request.options.items() if name == "account_type"}
        fields = {**chosen, **request.body, "kind": _kind_of(form)}
        return {"status": 200, "token": request.mint(fields)["token"]}
    except ValueError as error:
        raise vault_error(400, "Invalid data", str(error)) from None


def _profile(request: LinkRequest) -> Json:
    kind = _kind_of(request.groups["form"])
    return secure.record_of(request.state, request.options.get("account"), kind, request.now)


def _kind_of(form: str) -> str:
    return "bank" if form.startswith("check-") else "card"


_PAGE: Final = """<!doctype html><meta charset="utf-8"><title>Sandbox capture form</title>
<form>FIELDS<button>Save</button></form>
<script>
document.forms[0].addEventListener("submit", async (event) => {
  event.preventDefault();
  const data = Object.fromEntries(new FormData(event.target));
  const headers = {"Content-Type": "application/json"};
  const reply = await fetch(location.href, {method: "POST", headers, body: JSON.stringify(data)});
  const answer = await reply.json();
  window.parent.postMessage({status: reply.status, token: answer.token}, "*");
});
</script>
"""

_ROUTES: Final = tuple(
    (method, auth, re.compile(pattern), handler)
    for method, auth, pattern, handler in (
        ("POST", "none", "authenticate", _authenticate),
        ("POST", "empty", "users/obo-token", lambda request: secure.mint_obo(request.state)),
        (
            "POST",
            "obo",
            "checking-account",
            lambda asked: secure.create_bank(asked.state, asked.body, asked.now),
        ),
        ("PUT", "obo", "(?P<kind>checking-account|credit-card)", _update),
        ("DELETE", "pair", "(?P<kind>checking-account|credit-card)", _delete),
        ("POST", "pair", "customers", lambda request: secure.create_customer(request.state, request.body)),
        ("PUT", "pair", r"customers/(?P<id>\d+)/add-(?P<kind>checking-account|card)", _link),
        ("DELETE", "pair", r"customers/(?P<id>\d+)/(?P<kind>checking-account|credit-card)", _unlink),
        ("GET", "path", "(?P<form>(?:check-)?capture-form)/(?P<obo>[^/]+)", _page),
        ("POST", "path", "(?P<form>(?:check-)?capture-form)/(?P<obo>[^/]+)", _capture),
        ("GET", "path", f"{ROOT}(?P<form>(?:check-)?edit-form)/(?P<obo>[^/]+)", _page),
        ("POST", "path", f"{ROOT}(?P<form>(?:check-)?edit-form)/(?P<obo>[^/]+)", _capture),
    )
)
