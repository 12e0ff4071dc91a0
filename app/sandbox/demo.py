"""The demo customers and their ref in each vault. Deterministic: scripts rely on it.

Each emulator's `demo_state` holds its data of them. The gateway's `dev` command links exactly these.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from uuid import UUID, uuid5

_NAMESPACE: Final = UUID("5f8c2f0e-5f6d-4b7a-9f43-0d3b6d1f7a10")
LOAD_CUSTOMERS: Final = 200


@dataclass(frozen=True, slots=True)
class DemoCustomer:
    """`refs` maps a provider's name to its ref of this customer; a missing provider is not linked."""

    id: str
    external_id: str
    first_name: str
    last_name: str
    email: str
    refs: MappingProxyType[str, str]

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}"


def demo_guid(label: str) -> str:
    """A stable GUID for a label, for vaults whose ids are GUIDs."""
    return str(uuid5(_NAMESPACE, label))


ALEX: Final = DemoCustomer(
    "cus_alex",
    "user-88420",
    "Alex",
    "Morales",
    "alex@example.com",
    MappingProxyType(
        {
            "loanpro": "37",
            "aloha": "82c6fdcb-534f-415a-9e28-87be989e461f",
            "jpmorgan": "PACJGQ",
            "caselle": "cus_88420",
        }
    ),
)
SAM: Final = DemoCustomer(
    "cus_sam",
    "user-88421",
    "Sam",
    "Okafor",
    "sam@example.com",
    MappingProxyType({"loanpro": "38", "jpmorgan": "EGQSGO", "caselle": "cus_88421"}),
)
KIM: Final = DemoCustomer("cus_kim", "user-88422", "Kim", "Larsen", "kim@example.com", MappingProxyType({}))


def load_customer(number: int) -> DemoCustomer:
    """`cus_load-0001` and on, with ten methods: loanpro 3, aloha 2, jpmorgan 2, caselle 3."""
    label = f"load-{number:04d}"
    return DemoCustomer(
        f"cus_{label}",
        label,
        "Load",
        f"Customer{number:04d}",
        f"{label}@example.com",
        MappingProxyType(
            {
                "loanpro": str(1000 + number),
                "aloha": demo_guid(label),
                "jpmorgan": f"LD{number:04d}",
                "caselle": f"cus_load{number:04d}",
            }
        ),
    )


def demo_customers() -> Iterator[DemoCustomer]:
    yield from (ALEX, SAM, KIM)
    for number in range(1, LOAD_CUSTOMERS + 1):
        yield load_customer(number)
