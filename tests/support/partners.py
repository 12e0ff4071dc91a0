"""A partner app of a running gateway, with its published documents."""

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import Any

from app.api.auth.api_keys import KeyHasher, new_key
from app.store.records import NewDocument, Publication
from tests.support.gateway import GraphQLReply, RunningGateway
from tests.support.waiting import eventually

READS = ("customers:read", "payment_methods:read")


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def document(document_id: str, text: str, name: str | None = None, *, for_agents: bool = False) -> NewDocument:
    kind = text.split()[0] if text.split()[0] in ("mutation", "subscription") else "query"
    return NewDocument(
        document_id=document_id,
        text=text,
        sha256=digest(text),
        operation_kind=kind,
        operation_name=name,
        cost=4,
        for_agents=for_agents,
    )


class PartnerApp:
    """`key` is its API key. It sees all customers unless `granted` names some."""

    def __init__(
        self,
        gateway: RunningGateway,
        name: str,
        *,
        scopes: Sequence[str] = READS,
        granted: Sequence[str] | None = None,
        documents: Mapping[str, str] | None = None,
        agents: Collection[str] = (),
    ) -> None:
        self.gateway = gateway
        self.name = name
        self.key = new_key()
        hashed = KeyHasher(gateway.settings.digest_key.first.reveal()).hash(self.key)
        clients = gateway.gateway.store.clients
        gateway.on_loop(clients.add(name, key_hash=hashed, scopes=scopes, sees_all_customers=granted is None))
        if granted:
            gateway.on_loop(clients.grant(name, granted))
        if documents:
            self.publish(documents, agents=agents)

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def publish(
        self, documents: Mapping[str, str], *, replace: bool = False, agents: Collection[str] = ()
    ) -> Publication:
        """Publish without the command's checks, and wait until the gateway has noticed. `agents`: ids for agents."""
        new = [document(key, text, for_agents=key in agents) for key, text in documents.items()]
        done: Publication = self.gateway.on_loop(
            self.gateway.gateway.store.documents.publish(self.name, new, replace=replace)
        )
        eventually(lambda: all(self.has(key, text) for key, text in documents.items()))
        return done

    def retire(self, *document_ids: str) -> None:
        self.gateway.on_loop(self.gateway.gateway.store.documents.retire(self.name, document_ids))
        eventually(lambda: not any(self.has(key) for key in document_ids))

    def has(self, document_id: str, text: str | None = None) -> bool:
        found = self.gateway.gateway.documents.catalogue.find(self.name, document_id)
        return found is not None and (text is None or found.text == text)

    def ask(self, variables: Mapping[str, Any] | None = None, text: str | None = None, **members: Any) -> GraphQLReply:
        return self.gateway.query(text, variables, headers=self.headers, **members)

    def get(self, path: str, **headers: str) -> GraphQLReply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.gateway.request("GET", path, headers={**self.headers, **named})
