"""What the one suite must know about a vault: refs that the demo data fixes, and how to make valid input for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.errors import RejectReason
from app.testing.sandbox import RunningSandbox
from app.vault.model import MethodChange, NewCustomer, NewMethod
from app.vault.names import CustomerRef, MethodRef, ProviderName

MakeMethod = Callable[[RunningSandbox], NewMethod]


@dataclass(frozen=True, kw_only=True)
class VaultCase:
    """One vault, as the suite sees it. Paths are those of faults and call records: without provider prefix and query.

    - `full_ref` holds several methods; `empty_ref`, where the vault has such customers, holds none.
    - `many_refs` are 50 more customers, each with methods.
    - `unknown_ref` could be a customer; `malformed_refs` could not, and must not cause a call.
    - `unknown_method` could be a method of `full_ref`.
    - `read_path` is a prefix of the path that lists `full_ref`; `write_path` and `write_verb` those of an add.
    - `new_methods` makes one valid method for each kind and route that the vault takes, a new one each time.
    - `changes` are valid updates of `changed_ref` or, where that is None, of the first active method of `full_ref`.
    - `new_customer` is a valid customer, by a number; None where the vault creates none by itself.
    - `second_create`: what creating the same customer again means; None stands for the same ref, and with
      `creates_again` the vault makes another customer.
    - `is_token_the_ref`: the token by which a method is added is its ref from then on, and no secret.
    - `wrong_settings` are settings with which the vault refuses us; `settings` are for every test.
    """

    name: ProviderName
    full_ref: CustomerRef
    empty_ref: CustomerRef | None
    many_refs: Sequence[CustomerRef]
    unknown_ref: CustomerRef
    malformed_refs: Sequence[CustomerRef]
    unknown_method: MethodRef
    read_path: str
    write_path: str
    write_verb: str
    new_methods: Mapping[str, MakeMethod]
    wrong_settings: Mapping[str, Any]
    sees_same_token: bool = True
    changes: Mapping[str, MethodChange] = field(default_factory=dict)
    new_customer: Callable[[int], NewCustomer] | None = None
    customer_path: str = ""
    second_create: RejectReason | None = None
    creates_again: bool = False
    is_token_the_ref: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
