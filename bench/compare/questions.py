"""The requests: the same for every party that supports them, iterating over customers."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CUSTOMERS: Final = 999
_FIELDS: Final = """
  id
  paymentMethods%s {
    __typename provider label last4 status isDefault holderName
    ... on Card { brand expiry expiryState authStatus }
    ... on BankAccount { rail accountType bankName }
  }
  sources { provider state methodCount }
"""
_ONE: Final = f"query Wallet($id: ID!) {{ customer(id: $id) {{ {_FIELDS % ''} }} }}"
_NODES: Final = f"query Wallets($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on Customer {{ {_FIELDS % ''} }} }} }}"
_SCRIPT: Final = """
local number, threads = 0, {}
wrk.method = "POST"
wrk.headers = {%(headers)s}
other = 0
local methods = {%(methods)s}
local function id()
  number = number %% %(customers)d + 1
  return string.format('"%(id_of)s"', number)
end
function setup(thread) table.insert(threads, thread) end
function request()
  local value
  if %(nodes)d == 0 then value = '"id":' .. id() else
    local ids = {}
    for place = 1, %(nodes)d do ids[place] = id() end
    value = '"ids":[' .. table.concat(ids, ",") .. ']'
  end
  if #methods > 0 then value = value .. ',"method":"' .. methods[number] .. '"' end
  return wrk.format(nil, nil, nil, '{"query":' .. %(query)s .. ',"variables":{' .. value .. '}}')
end
function response(status, headers, body)
  if status == 200 and #body ~= %(length)d then other = other + 1 end
end
function done(summary, latency, requests)
  local errors = summary.errors
  local bad = errors.status + errors.timeout + errors.read + errors.write + errors.connect
  for _, thread in ipairs(threads) do bad = bad + thread:get("other") end
  io.write(string.format('RESULT {"requests":%%d,"us":%%d,"p50":%%d,"p99":%%d,"bad":%%d}\\n', summary.requests,
    summary.duration, latency:percentile(50), latency:percentile(99), bad))
end
"""


@dataclass(frozen=True, slots=True)
class Question:
    """`nodes` 0 requests one customer. `methods` are the payment methods to write to, customer 1's first."""

    query: str = _ONE
    id_of: str = "cus_load-%04d"
    nodes: int = 0
    methods: Sequence[str] = ()

    def __post_init__(self) -> None:
        assert len(self.methods) in (0, CUSTOMERS)

    def body(self, number: int) -> bytes:
        """The request for customer `number`, or for a batch starting there."""
        ids = [self.id_of % (number + place) for place in range(max(1, self.nodes))]
        variables: dict[str, Any] = {"ids": ids} if self.nodes else {"id": ids[0]}
        if self.methods:
            variables["method"] = self.methods[number - 1]
        body = {"query": self.query, "variables": variables}
        return json.dumps(body, separators=(",", ":")).encode()  # JavaScript's separators

    def write_script(self, folder: Path, headers: Mapping[str, str], length: int) -> Path:
        """A wrk script. All replies are equally long, so one that is not of `length` counts as bad."""
        every = {"content-type": "application/json", **headers}
        path = folder / f"load-{len(list(folder.glob('load-*.lua')))}.lua"
        parts = {
            "headers": ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in every.items()),
            "methods": ", ".join(map(json.dumps, self.methods)),
            "customers": CUSTOMERS,
            "id_of": self.id_of,
            "nodes": self.nodes,
            "query": json.dumps(json.dumps(self.query)),
            "length": length,
        }
        path.write_text(_SCRIPT % parts)
        return path


WALLET: Final = Question()
# The same data in each vault's shape, for parties that cannot merge them; the customer id is LoanPro's.
RAW_WALLET: Final = Question(
    """query Wallet($id: ID!) {
  customer(id: $id) {
    id
    loanpro { d { results { PaymentAccounts { results {
      id isPrimary type active
      CreditCard { cardNumber cardType cardExpiration cardHolderName }
      CheckingAccount { accountType accountNumber bankName cardHolderName }
    } } } } }
    aloha { MethodType MaskedAccountNumber ExpirationDate }
    jpmorgan { profileStatus paymentMethodType {
      cardList {
        last4CardNumber cardExpirationMonthYearNumber cardType accountStatus firstName lastName
        status { cardAuthenticationDetails { responseStatus } }
      }
      achList { last4AccountNumber accountType accountStatus firstName lastName }
    } }
    caselle {
      is_default
      payment_method {
        payment_method_type
        credit { last4 exp_month exp_year card_brand holder_name }
        ach { account_suffix account_type holder_name }
      }
    }
  }
}""",
    id_of="1%03d",
)
# The wallet with all methods of the customer with many methods.
LARGE_WALLET: Final = Question(f"query Large($id: ID!) {{ customer(id: $id) {{ {_FIELDS % '(first: 10000)'} }} }}")

_SET_DEFAULT: Final = """mutation Choose($id: ID!, $method: ID!) {
  setDefaultPaymentMethod(input: { customerId: $id, paymentMethodId: $method }) {
    userErrors { code } customer { id }
  }
}"""
_METHODS: Final = """query Methods($ids: [ID!]!) {
  nodes(ids: $ids) { ... on Customer { paymentMethods { id label } } }
}"""
# Caselle's method that is not the default there, so every request makes the vault call.
_CHOSEN: Final = "American Express ending 0005"


def choosing(ask: Callable[[bytes], bytes]) -> Question:
    """The mutation; every customer's method is queried first."""
    found: list[str] = []
    for number in range(1, CUSTOMERS + 1, 27):
        answer = json.loads(ask(Question(_METHODS, nodes=27).body(number)))
        for customer in answer["data"]["nodes"]:
            found += [method["id"] for method in customer["paymentMethods"] if method["label"] == _CHOSEN]
    return Question(_SET_DEFAULT, methods=found)


def wallets(nodes: int) -> Question:
    return Question(_NODES, nodes=nodes)
