"""`vaultgraph check --links`: finds broken links by asking the vaults for every linked customer."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

import click

from app.cli.local_gateway import settings_of_writes
from app.cli.open_store import open_store
from app.cli.options import ConfigLocation
from app.cli.output import print_json, progress
from app.errors import VaultError
from app.providers.registry import build_providers
from app.store import Store
from app.store.records import LinkConflictRecord, LinkRecord
from app.vault.enums import CustomerRef, ProviderName
from app.vault.model import VaultWallet
from app.vault.provider import Call, VaultProvider
from app.wallet.reads.reader import is_not_found

_WITHIN_S: Final = 10.0
_FAILURES: Final = 3


@dataclass(slots=True)
class _Report:
    is_printed: bool
    advance: Callable[[int], None]
    checked: int = 0
    broken: list[dict[str, str]] = field(default_factory=list)
    unread: Counter[ProviderName] = field(default_factory=Counter)

    def finding(self, provider: ProviderName, customer_id: str, words: str) -> None:
        code, _, message = words.partition(": ")
        self.broken.append({"provider": provider, "customer_id": customer_id, "code": code, "message": message})
        if self.is_printed:
            click.echo(f"{provider.value:<9} {customer_id} {words}")


def check_links(source: ConfigLocation, sandbox_url: str | None, calls_per_s: float, *, as_json: bool) -> bool:
    """Print one line per broken link; True if there is none. A vault that does not answer is not a broken link."""
    with progress("Checking links") as advance:
        report = _Report(not as_json, advance)
        vaults = asyncio.run(_run(source, sandbox_url, calls_per_s, report))
    if as_json:
        print_json({"checked": report.checked, "broken": report.broken, "not_checked": report.unread})
        return not report.broken
    for provider, count in report.unread.items():
        why = "the vault did not answer" if provider in vaults else "the vault is not enabled"
        click.echo(f"{provider.value:<9} {count} links not checked: {why}")
    click.echo(f"{report.checked} links checked, {len(report.broken)} broken")
    return not report.broken


async def _run(
    source: ConfigLocation, sandbox_url: str | None, calls_per_s: float, report: _Report
) -> Collection[ProviderName]:
    settings = await settings_of_writes(source, sandbox_url)
    async with open_store(settings) as store, AsyncExitStack() as opened:
        vaults = build_providers(settings)
        for vault in vaults.values():
            opened.push_async_callback(vault.close)
        for conflict in await store.link_health.conflicts():
            report.finding(conflict.provider, conflict.customer_id, words_of(conflict))
        await _check_all(store, vaults, calls_per_s, report)
    return vaults.keys()


def words_of(conflict: LinkConflictRecord) -> str:
    """The conflict as a message for an operator."""
    return (
        f"LINK_CONFLICT: {conflict.customer_ref} is the vault customer that {conflict.linked_customer_id} was linked "
        "to first; unlink the wrong one and link the other"
    )


async def _check_all(
    store: Store, vaults: Mapping[ProviderName, VaultProvider], calls_per_s: float, report: _Report
) -> None:
    failures: Counter[ProviderName] = Counter()
    page = await store.link_health.page_of_links()
    while page:
        for provider, links in groupby(page, key=lambda link: link.provider):
            vault = vaults.get(provider)
            for batch in _batches(list(links), 1 if vault is None else vault.capabilities.batch_limit):
                if vault is None or failures[provider] >= _FAILURES:
                    report.unread[provider] += len(batch)
                    continue
                is_read = await _check(vault, batch, calls_per_s, report)
                failures[provider] = 0 if is_read else failures[provider] + 1
        page = await store.link_health.page_of_links(page[-1])


def _batches(links: Sequence[LinkRecord], size: int) -> Iterator[Sequence[LinkRecord]]:
    return (links[start : start + size] for start in range(0, len(links), max(1, size)))


async def _check(vault: VaultProvider, links: Sequence[LinkRecord], calls_per_s: float, report: _Report) -> bool:
    """True if the vault answered for all links."""
    call = Call(deadline_at=asyncio.get_running_loop().time() + _WITHIN_S, request_id="vaultgraph-check-links")
    found: Mapping[CustomerRef, VaultWallet | VaultError]
    try:
        found = await vault.wallets([link.customer_ref for link in links], call)
    except VaultError as error:
        found = {link.customer_ref: error for link in links}
    unread = 0
    for link in links:
        read = found.get(link.customer_ref)
        if isinstance(read, VaultWallet):
            report.checked += 1
        elif isinstance(read, VaultError) and is_not_found(read):
            report.checked += 1
            words = f"CUSTOMER_NOT_FOUND: the vault does not know {link.customer_ref}"
            report.finding(link.provider, link.customer_id, words)
        else:
            unread += 1
    if unread:
        report.unread[vault.name] += unread
    report.advance(len(links))
    await asyncio.sleep(call.meter.calls / calls_per_s)
    return not unread
