"""How long to rest before the next look: at first hardly, and longer while nothing comes."""

from __future__ import annotations

FIRST_PAUSE = 0.001
GROWTH = 1.5


class Pacing:
    """Of those who look for the same."""

    def __init__(self) -> None:
        self._pause = FIRST_PAUSE

    def pause(self, longest: float) -> float:
        """Longer each time, up to so many seconds."""
        pause = min(self._pause, longest)
        self._pause = min(GROWTH * pause, longest)
        return pause

    def restart(self) -> None:
        """Something came: more may follow."""
        self._pause = FIRST_PAUSE
