"""How fast workers drain a queue that keeps them busy."""

from __future__ import annotations

FADES_MS = 60_000


class Drain:
    """
    - rate - tasks a second, while there is a backlog and a batch of it has ended; else None.
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self._since: float | None = None
        self._ended = 0

    @property
    def has_backlog(self) -> bool:
        return self._since is not None

    def note_ended(self, count: int) -> None:
        self._ended += count

    def note_take(self, now: int, left_behind: bool) -> None:
        """From a take that leaves tasks behind to one that leaves none there is a backlog."""
        if not left_behind:
            self.rate, self._since, self._ended = None, None, 0
        elif self._since is None:
            self._since, self._ended = now, 0
        elif self._ended and now > self._since:
            self.rate = 1000 * self._ended / (now - self._since)
            if now - self._since > FADES_MS:
                self._since, self._ended = (self._since + now) / 2, self._ended // 2
