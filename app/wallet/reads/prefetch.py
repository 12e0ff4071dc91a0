"""Prefetch hints: the follow-up reads that a query needed last time, for an unchanged vault list.

A card's 3-D Secure status is a call of its own, and only the list says which cards exist: two calls in sequence.
Clients repeat queries, and lists rarely change. So the status reads that followed a list are stored with it, and the
next time they run in parallel with the list. The new list still decides: a prefetched status is used only for a card
that the new list has and a field asks for. An unused prefetch is removed from the hints, so a wrong hint costs one
call, once.
"""

from collections.abc import Hashable, Iterable
from typing import Final

from app.vault.enums import MethodRef

Question = Hashable
"""The selected fields and the caller's permissions: equal values need the same statuses of the same list."""

_MAX_QUESTIONS: Final = 4  # the latest queries per list; each takes some 150 bytes


class PrefetchHints:
    """The hints of one vault list, valid while the list is unchanged."""

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        self._asked: tuple[tuple[Question, tuple[MethodRef, ...]], ...] = ()

    def of(self, question: Question) -> tuple[MethodRef, ...]:
        for known, refs in self._asked:
            if known == question:
                return refs
        return ()

    def learn(self, question: Question, refs: Iterable[MethodRef]) -> None:
        asked = tuple(sorted(refs))
        if self.of(question) != asked:
            self.forget(question)
            self._asked = ((question, asked), *self._asked[: _MAX_QUESTIONS - 1])

    def forget(self, question: Question) -> None:
        self._asked = tuple([one for one in self._asked if one[0] != question])
