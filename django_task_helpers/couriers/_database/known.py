"""What a process knows of a queue by what it did itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from django_task_helpers.couriers._database.pacing import Pacing
from task_helpers.couriers.backends import Drain


@dataclass(slots=True)
class Known:
    """
    - pacing - of those who wait for tasks.
    - empty_at - the mark of before the last look, if that one found nothing.
    - drain - how fast this process works off a backlog.
    - rate_said_at - when it last told others, `time.monotonic()`.
    """

    pacing: Pacing = field(default_factory=Pacing)
    empty_at: object = None
    drain: Drain = field(default_factory=Drain)
    rate_said_at: float = 0.0

    def note_look(self, mark: object, found: bool) -> None:
        """- mark - that of before; None where nobody made one."""
        self.empty_at = None if found else mark
        if found:
            self.pacing.restart()
