"""What the page of queues shows, read from the couriers. Knows nothing of requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _

from task_helpers.couriers.base import TaskCourier
from task_helpers.couriers.stats import QueueStats
from task_helpers.exceptions import CourierUnavailable, TaskHelpersError


class KnownQueue(NamedTuple):
    """A queue of this site and the alias of the courier that leads to it."""

    name: str
    courier: str


class Row(NamedTuple):
    """
    One queue.

    - stats - its numbers; None when they could not be read.
    - age - of the task next in line, for people; "" when nothing waits.
    """

    queue: KnownQueue
    stats: QueueStats | None
    age: str = ""

    @property
    def stuck(self) -> bool:
        """Whether tasks wait and nobody is there to take them."""
        return self.stats is not None and self.stats.waiting > 0 and not self.stats.workers


class Problem(NamedTuple):
    """Why numbers are missing: of one queue, of a courier's queues, or (both "") in general."""

    text: str
    courier: str = ""
    queue: str = ""


@dataclass
class Overview:
    """The rows in the order of the queues given, and what went wrong."""

    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


Couriers = Callable[[str], TaskCourier]
"""The courier of an alias; raises `ImproperlyConfigured` for one that cannot be had."""


def read_overview(queues: Iterable[KnownQueue], couriers: Couriers) -> Overview:
    """
    The numbers of the queues, at a bounded cost for each. A courier that cannot be reached is
    asked no second time, so that the page comes soon; the other couriers' queues are read.
    """
    reader = _Reader(couriers)
    for queue in queues:
        reader.read(queue)
    return reader.overview


class _Reader:
    def __init__(self, couriers: Couriers) -> None:
        self.overview = Overview()
        self._couriers = couriers
        self._given_up: set[str] = set()

    def read(self, queue: KnownQueue) -> None:
        stats = None if queue.courier in self._given_up else self._stats(queue)
        self.overview.rows.append(Row(queue, stats, _age(stats)))

    def _stats(self, queue: KnownQueue) -> QueueStats | None:
        try:
            return self._couriers(queue.courier).get_queue_stats(queue.name, patient=False)
        except (CourierUnavailable, ImproperlyConfigured) as error:
            self._given_up.add(queue.courier)
            self._complain(error, queue.courier)
        except TaskHelpersError as error:
            self._complain(error, queue.courier, queue.name)
        return None

    def _complain(self, error: Exception, *place: str) -> None:
        self.overview.problems.append(Problem(str(error), *place))


def _age(stats: QueueStats | None) -> str:
    if stats is None or stats.oldest_made_at is None:
        return ""
    return human_age(time.time() - stats.oldest_made_at / 1000)


_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def human_age(seconds: float) -> str:
    """
    One number and a unit, rounded down: "3 s", "5 min", "2 h", "4 d". Clocks differ: a task made
    in the future is 0 s old.
    """
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return _("%(count)d s") % {"count": whole}
    if whole < _HOUR:
        return _("%(count)d min") % {"count": whole // _MINUTE}
    if whole < _DAY:
        return _("%(count)d h") % {"count": whole // _HOUR}
    return _("%(count)d d") % {"count": whole // _DAY}
