"""A customer's payment profiles: the child list of a customer PUT, applied element by element, all or nothing.

Sources: LoanPro, "Link Payment Profile to Customer", "Update Payment Profile", "Set Payment Profile as Primary".
"""

import copy
from dataclasses import dataclass
from typing import Any

from app.sandbox.base import Json
from app.sandbox.loanpro import checks, vault
from app.sandbox.loanpro.refusals import entity_error

_FLAGS = ("isPrimary", "isSecondary", "active", "verify", "visible", "isPaymentAllowed", "isFundingAllowed")
_SHOWN_BY_DEFAULT = ("active", "visible", "isPaymentAllowed", "isFundingAllowed")


@dataclass(frozen=True, slots=True)
class Rules:
    """`is_last_wins`: a second primary takes the flag. `allows_same_token`: a token can be linked twice."""

    is_last_wins: bool
    allows_same_token: bool
    now: float


def apply(state: Json, customer: Json, elements: list[Any], rules: Rules) -> None:
    """Apply `elements` in order. Raises SandboxRefusal without any change."""
    draft = _Draft(state, customer, rules)
    for element in elements:
        draft.apply(element)
    draft.commit()


class _Draft:
    def __init__(self, state: Json, customer: Json, rules: Rules) -> None:
        self._state = state
        self._customer = customer
        self._rules = rules
        self._accounts: list[Json] = [copy.copy(state["accounts"][str(key)]) for key in customer["account_ids"]]
        self._next = dict(state["next"])

    def apply(self, element: Any) -> None:
        if not isinstance(element, dict):
            raise entity_error("Invalid payment account")
        if not element.get("__id") and (element.get("__update") or element.get("__delete")):
            raise entity_error("An update needs the __id of the payment account")
        if element.get("__delete"):
            self._accounts.remove(self._held(element["__id"]))
            return
        changed = self._update(element) if element.get("__update") else self._create(element)
        for flag in ("isPrimary", "isSecondary"):
            self._settle(changed, flag)

    def commit(self) -> None:
        for number in self._customer["account_ids"]:
            del self._state["accounts"][str(number)]
        self._state["accounts"].update({str(account["id"]): account for account in self._accounts})
        self._customer["account_ids"] = [account["id"] for account in self._accounts]
        self._state["next"].update(self._next)
        known = self._state["sp_customers"].get(str(self._customer["scalars"]["mcId"]))
        for account in self._accounts if known else ():
            record = self._state["vault"][str(account["vault_id"])]
            if record["id"] not in known["profiles"] and not record["is_deleted"]:
                known["profiles"].append(record["id"])

    def _held(self, key: Any) -> Json:
        for account in self._accounts:
            if str(account["id"]) == str(key):
                return account
        raise entity_error("Payment account not found")

    def _update(self, element: Json) -> Json:
        account = self._held(element["__id"])
        if element.get("type", account["type"]) != account["type"]:
            raise entity_error("The type of a payment account cannot be changed")
        if "title" in element:
            account["title"] = checks.title(element["title"])
        account.update({name: checks.flag(element[name], name) for name in _FLAGS if name in element})
        return account

    def _create(self, element: Json) -> Json:
        title = checks.title(element.get("title"))
        wanted = checks.PROFILE_CHILDREN.get(str(element.get("type")))
        if wanted is None:
            raise entity_error("Invalid payment account type")
        given = [name for name in ("CheckingAccount", "CreditCard") if isinstance(element.get(name), dict)]
        if given != [wanted]:
            raise entity_error("Exactly one account that matches the type is required")
        child = element[wanted]
        record = self._record(child.get("token"), "card" if wanted == "CreditCard" else "bank")
        account_type = child.get("accountType") if record["kind"] == "bank" else None
        if record["kind"] == "bank" and account_type not in checks.ACCOUNT_TYPES:
            raise entity_error("Invalid bank account type")
        self._next["account"] += 1
        self._next["child"] += 1
        account: Json = {
            "id": self._next["account"],
            "entityId": self._customer["id"],
            "title": title,
            "type": element["type"],
            "vault_id": record["id"],
            "child_id": self._next["child"],
            "accountType": account_type,
        }
        for name in _FLAGS:
            account[name] = checks.flag(element.get(name, int(name in _SHOWN_BY_DEFAULT)), name)
        self._accounts.append(account)
        return account

    def _record(self, token: Any, kind: str) -> Json:
        if not token:
            raise entity_error("Token is required")
        record = vault.find(self._state, token)
        if record is None or record["kind"] != kind or not vault.is_usable(record, self._rules.now):
            raise entity_error("Invalid token")
        if not self._rules.allows_same_token and self._is_linked(record["id"]):
            raise entity_error("This token is already linked")
        return record

    def _is_linked(self, vault_id: int) -> bool:
        others = (other for other in self._state["accounts"].values() if other["entityId"] != self._customer["id"])
        return any(other["vault_id"] == vault_id and other["active"] for other in (*self._accounts, *others))

    def _settle(self, changed: Json, flag: str) -> None:
        """At most one active primary and one active secondary; the order of the elements decides."""
        if not (changed[flag] and changed["active"]):
            return
        rivals = [other for other in self._accounts if other is not changed and other[flag] and other["active"]]
        if rivals and not self._rules.is_last_wins:
            raise entity_error(f"Only one payment account can be {'primary' if flag == 'isPrimary' else 'secondary'}")
        for rival in rivals:
            rival[flag] = 0
