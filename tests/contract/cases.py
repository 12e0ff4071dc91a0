"""The table of vaults under contract. A new vault adds its case here and changes no test."""

from tests.contract.case import VaultCase
from tests.contract.case_aloha import ALOHA
from tests.contract.case_caselle import CASELLE
from tests.contract.case_jpmorgan import JPMORGAN
from tests.contract.case_loanpro import LOANPRO

CASES: tuple[VaultCase, ...] = (LOANPRO, ALOHA, JPMORGAN, CASELLE)
