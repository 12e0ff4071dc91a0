"""A byte-identical reply is parsed once, and the cache keeps no wallet alive."""

import gc
from dataclasses import replace

from app.http.message import VaultReply
from app.providers.reply_cache import ReplyCache, digest_of
from app.vault.enums import CustomerRef, ProviderName
from app.vault.model import ReplyDigest, VaultWallet
from tests.support.memory import card

REF = CustomerRef("37")


def cache() -> ReplyCache:
    """To which no reply is ordinary."""
    return ReplyCache(lambda reply: None, lambda *_: None)


def read(replies: ReplyCache, body: bytes, request_id: str | None, ref: CustomerRef = REF) -> VaultWallet | None:
    return replies.read(ref, VaultReply(200, {}, body), request_id)


def wallet(request_id: str | None = None) -> VaultWallet:
    return VaultWallet(
        provider=ProviderName.LOANPRO, customer_ref=REF, methods=(card("1"),), provider_request_id=request_id
    )


def test_the_same_bytes_give_the_same_methods_with_this_replys_id() -> None:
    replies, digest = cache(), digest_of(b"[]")
    assert read(replies, b"[]", None) is None
    kept = replies.put(wallet("first"), digest)
    assert read(replies, b"[]", "first") is kept
    later = read(replies, b"[]", "second")
    assert later is not None
    assert (later.methods is kept.methods, later.reply is kept.reply) == (True, True)
    assert (later.provider_request_id, kept.provider_request_id) == ("second", "first")
    assert read(replies, b"[]", "first", CustomerRef("38")) is None
    assert read(replies, b"[1]", "second") is None


def test_other_bytes_that_say_the_same_keep_the_methods_and_nothing_else() -> None:
    replies = cache()
    first = replies.put(wallet("first"), digest_of(b"[]"))
    again = replies.put(replace(wallet("second"), skipped=1, truncated=True), digest_of(b"[ ]"))
    assert again.methods is first.methods
    assert again == replace(wallet("second"), skipped=1, truncated=True)
    assert again.reply is not first.reply
    assert read(replies, b"[ ]", "second") is again
    other = replies.put(replace(wallet(), methods=(card("1", holder_name="Another"),)), digest_of(b"[2]"))
    assert other.methods is not first.methods
    assert [method.holder_name for method in other.methods] == ["Another"]


def test_a_result_without_references_is_dropped() -> None:
    replies, digest = cache(), digest_of(b"[]")
    kept = replies.put(wallet(), digest)
    del kept
    gc.collect()
    assert read(replies, b"[]", None) is None


def test_a_digest_is_no_part_of_what_is_compared_or_shown() -> None:
    marked = replace(wallet(), reply=ReplyDigest(digest_of(b"x")))
    assert marked == wallet()
    assert "reply" not in repr(marked)
    assert "digest" not in repr(marked.reply)
