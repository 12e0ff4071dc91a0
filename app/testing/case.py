"""What the suite needs to know about a vault: refs of the demo data, and valid inputs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.errors import RejectReason
from app.testing.sandbox import RunningSandbox
from app.vault.enums import CustomerRef, MethodRef, ProviderName
from app.vault.model import MethodChange, NewCustomer, NewMethod

MakeMethod = Callable[[RunningSandbox], NewMethod]


@dataclass(frozen=True, kw_only=True)
class VaultCase:
    """One vault. Paths have no provider prefix and query, as in faults and call records.

    - `full_ref` holds several methods; `empty_ref` holds none (None if the vault has no such customers).
    - `many_refs` are 50 more customers, each with methods.
    - `unknown_ref` is well-formed; `malformed_refs` are not, and must not cause a call.
    - `unknown_method` is a well-formed method ref.
    - `read_path` is a prefix of the path that lists `full_ref`; `write_path` and `write_verb` those of an add.
    - `new_methods` creates a new valid method for each kind and route that the vault supports.
    - `changes` are valid updates of `changed_ref` or, if that is None, of the first active method of `full_ref`.
    - `new_customer` makes a valid customer from a number; None if the vault does not create customers.
    - `second_create`: the error of creating the same customer again; None if it returns the same ref or, with
      `creates_again`, creates another customer.
    - `is_token_the_ref`: the token of an added method becomes its ref, and is not a secret.
    - `wrong_settings` make the vault refuse the credentials; `settings` apply to every test.
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
