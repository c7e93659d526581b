"""Which of the items that a backend answers are news: of each id, versions in their order, once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from operator import attrgetter

from wsgate.sources.poll_answer import Item, Version

_by_version = attrgetter("version")


class Versions:
    """Remembers the newest version of each of ``ids_max`` ids; past it, the longest unseen goes."""

    def __init__(self, ids_max: int) -> None:
        assert ids_max > 0
        self._ids_max = ids_max
        # The longest unseen first; a plain dict would look for that at all that were deleted.
        self._newest: OrderedDict[str, Version] = OrderedDict()
        self.taken = 0
        self.repeated = 0
        self.old = 0
        self.forgotten = 0

    def __len__(self) -> int:
        return len(self._newest)

    def news(self, items: Iterable[Item]) -> list[Item]:
        """Those of one answer that are to be delivered, in that order.

        An answer may have several versions of an id, in any order: all that are newer than what was
        delivered are, from the oldest on. One that comes after a newer one was delivered is too
        late: whoever has the newer one must not be shown it.
        """
        by_id: dict[str, list[Item]] = {}
        for item in items:
            by_id.setdefault(item.id, []).append(item)
        return [item for same in by_id.values() for item in self._of_one(same)]

    def _of_one(self, items: list[Item]) -> list[Item]:
        id = items[0].id
        newest = self._newest.pop(id, None)
        found = []
        for item in sorted(items, key=_by_version):
            if newest is None or item.version > newest:
                newest = item.version
                found.append(item)
            elif item.version == newest:
                self.repeated += 1
            else:
                self.old += 1
        assert newest is not None, "an id without an item"
        self._newest[id] = newest
        if len(self._newest) > self._ids_max:
            self._newest.popitem(last=False)
            self.forgotten += 1
        self.taken += len(found)
        return found
