"""What a question asked next, the last time a vault's list said what it says now: so it can be asked at once.

A card's 3-D Secure status is a call of its own, and which cards there are is known from the list only: two calls in a
row. Clients ask the same question again and again, and lists rarely change. So what was asked after a list is
remembered with it, and asked beside it the next time. The list still decides: what was foreseen is only looked at for
a card that the new list has and a field asks for. What nobody took is forgotten: a wrong foresight costs a call, once.
"""

from collections.abc import Hashable, Iterable
from typing import Final

from app.vault.names import MethodRef

Question = Hashable
"""Which fields are asked for, and with which rights: the same question asks the same of the same list."""

_MOST: Final = 4  # questions of one list, the latest; each takes some 150 bytes


class Foresight:
    """Of one vault's list, for as long as it stays the same."""

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
            self._asked = ((question, asked), *self._asked[: _MOST - 1])

    def forget(self, question: Question) -> None:
        self._asked = tuple([one for one in self._asked if one[0] != question])
