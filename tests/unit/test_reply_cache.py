"""A byte-identical reply is parsed once, and the cache keeps no wallet alive."""

import gc
from dataclasses import replace

from app.providers.reply_cache import ReplyCache, digest_of
from app.vault.enums import CustomerRef, ProviderName
from app.vault.model import ReplyDigest, VaultWallet
from tests.support.memory import card

REF = CustomerRef("37")


def wallet(request_id: str | None = None) -> VaultWallet:
    return VaultWallet(
        provider=ProviderName.LOANPRO, customer_ref=REF, methods=(card("1"),), provider_request_id=request_id
    )


def test_the_same_bytes_give_the_same_methods_with_this_replys_id() -> None:
    replies, digest = ReplyCache(), digest_of(b"[]")
    assert replies.get(REF, digest, None) is None
    kept = replies.put(wallet("first"), digest)
    assert replies.get(REF, digest, "first") is kept
    later = replies.get(REF, digest, "second")
    assert later is not None
    assert (later.methods is kept.methods, later.reply is kept.reply) == (True, True)
    assert (later.provider_request_id, kept.provider_request_id) == ("second", "first")
    assert replies.get(CustomerRef("38"), digest, "first") is None
    assert replies.get(REF, digest_of(b"[1]"), "second") is None


def test_other_bytes_that_say_the_same_keep_the_methods_and_nothing_else() -> None:
    replies = ReplyCache()
    first = replies.put(wallet("first"), digest_of(b"[]"))
    again = replies.put(replace(wallet("second"), skipped=1, truncated=True), digest_of(b"[ ]"))
    assert again.methods is first.methods
    assert again == replace(wallet("second"), skipped=1, truncated=True)
    assert again.reply is not first.reply
    assert replies.get(REF, digest_of(b"[ ]"), "second") is again
    other = replies.put(replace(wallet(), methods=(card("1", holder_name="Another"),)), digest_of(b"[2]"))
    assert other.methods is not first.methods
    assert [method.holder_name for method in other.methods] == ["Another"]


def test_a_result_without_references_is_dropped() -> None:
    replies, digest = ReplyCache(), digest_of(b"[]")
    kept = replies.put(wallet(), digest)
    del kept
    gc.collect()
    assert replies.get(REF, digest, None) is None


def test_a_digest_is_no_part_of_what_is_compared_or_shown() -> None:
    marked = replace(wallet(), reply=ReplyDigest(digest_of(b"x")))
    assert marked == wallet()
    assert "reply" not in repr(marked)
    assert "digest" not in repr(marked.reply)
