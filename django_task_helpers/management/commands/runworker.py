"""`manage.py runworker QUEUE`"""

from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from functools import partial
from signal import Signals
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from django_task_helpers.conf import DEFAULT_ALIAS, known
from django_task_helpers.couriers import couriers
from django_task_helpers.management.commands._running import WorkerRun, stopping_text, write_at_once
from django_task_helpers.management.commands._supervising import Supervision
from django_task_helpers.workers import UnknownQueue, build_worker, known_queues
from task_helpers.couriers.store import MAX_BATCH
from task_helpers.durations import seconds
from task_helpers.exceptions import CourierError
from task_helpers.supervision.signals import StopSignals
from task_helpers.workers.base_async import BaseAsyncWorker
from task_helpers.workers.threaded import ThreadedWorker

logger = logging.getLogger("django_task_helpers.worker")

BOUNDS = ("burst", "iterations", "max_tasks")
"""What makes a run end by itself."""

EXCLUSIVE = (
    *(("reload", other) for other in (*BOUNDS, "processes", "max_iterations", "max_rss")),
    ("iterations", "max_iterations"),
)

AUTO = "auto"

BURST_HELP = "stop when there is no task to take now, whatever comes later"

DRAIN = 25.0
DRAIN_HELP = f"how long batches may take to end after SIGTERM (default {DRAIN:g})"


class Command(BaseCommand):
    help = (
        "Performs the tasks of a queue. SIGTERM and Ctrl-C end it after the batch at hand; "
        "a second one gives the batch back and ends it now. Without --burst, --iterations and "
        "--max-tasks it runs in processes of its own under a supervisor, which replaces the dead."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add, count = parser.add_argument, _whole_number()
        add("queue", nargs="?", help="the queue to work on; without it the known ones are named")
        add("--burst", action="store_true", help=BURST_HELP)
        add("--iterations", type=count, metavar="N", help="stop after N batches")
        add("--max-tasks", type=count, metavar="N", help="stop after N tasks")
        add("--batch-size", type=_whole_number(MAX_BATCH), metavar="N", help="most tasks a batch")
        add(
            "--linger", type=_linger, metavar="SECONDS", help='how long a batch may fill, or "auto"'
        )
        add("--min-tasks", type=count, metavar="N", help="how many need not linger for more")
        add("--target-latency", type=_seconds, metavar="SECONDS", help="for --linger auto")
        add("--threads", type=count, metavar="N", help="how many tasks at a time (ClassicWorker)")
        add("--processes", type=count, metavar="N", help="how many worker processes (default 1)")
        add("--max-iterations", type=count, metavar="N", help="a fresh process after ~N batches")
        add("--max-rss", type=count, metavar="MIB", help="a fresh process above ~MIB of memory")
        add("--drain", type=_seconds, metavar="SECONDS", default=DRAIN, help=DRAIN_HELP)
        add("--courier", metavar="ALIAS", help="a courier other than that of the queue")
        add("--reload", action="store_true", help="start anew when the code changes (development)")

    def handle(self, *, queue: str | None, **options: Any) -> None:
        self._say_at_all = options["verbosity"] > 0
        _check_combination(options)
        try:
            if code := self._run(queue or _missing(), options):
                sys.exit(code)
        except (UnknownQueue, ImproperlyConfigured, CourierError) as error:
            raise CommandError(_in_options(str(error), options)) from error

    def _run(self, queue: str, options: dict[str, Any]) -> int:
        """What ends by itself, or with the code, runs in this process."""
        if options["threads"]:
            _check_threads(queue)
        if options["reload"]:
            return self._make_run(queue, options).perform_reloading(self._complain)
        alias = _courier(queue, options)
        alone = options["processes"] is None and not _recycles(options)
        if alone and (_is_bounded(options) or _is_in_memory(alias)):
            return self._make_run(queue, options).perform()
        return self._make_supervision(queue, options).run()

    def _make_run(self, queue: str, options: dict[str, Any]) -> WorkerRun:
        worker = build_worker(queue, options["courier"], **_fields(options))
        return WorkerRun(
            worker,
            iterations=options["iterations"],
            courier=_courier(queue, options),
            say=self._say,
            signals=StopSignals.of_terminal(worker.stop, partial(self._announce, queue)),
        )

    def _make_supervision(self, queue: str, options: dict[str, Any]) -> Supervision:
        fields = _fields(options)
        return Supervision(
            make_worker=lambda: build_worker(queue, options["courier"], **fields),
            courier=_courier(queue, options),
            say=self._say,
            processes=options["processes"] or 1,
            drain=options["drain"],
            iterations=options["iterations"],
            max_iterations=options["max_iterations"],
        )

    def _say(self, text: str) -> None:
        """Once: in the project's log if it shows such lines, else on stdout."""
        if logger.isEnabledFor(logging.INFO) and logger.hasHandlers():
            logger.info(text)
        elif self._say_at_all:
            self.stdout.write(text)
            self.stdout.flush()

    def _announce(self, queue: str, number: Signals) -> None:
        if self._say_at_all:
            write_at_once(stopping_text(number, queue))

    def _complain(self, text: str) -> None:
        self.stderr.write(self.style.ERROR(text))


def _missing() -> NoReturn:
    raise CommandError(f"name a queue; {known(known_queues())}")


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    """The fields of the worker that the command line sets."""
    fields = {
        "burst": options["burst"] or None,
        "max_tasks": options["max_tasks"],
        "max_tasks_per_iteration": options["batch_size"],
        "linger": options["linger"],
        "min_tasks": options["min_tasks"],
        "target_latency": options["target_latency"],
        "threads": options["threads"],
        "max_rss": options["max_rss"],
    }
    return {name: value for name, value in fields.items() if value is not None}


def _courier(queue: str, options: dict[str, Any]) -> str:
    if alias := options["courier"]:
        return str(alias)
    queues = known_queues()
    return queues[queue].courier if queue in queues else DEFAULT_ALIAS


def _is_bounded(options: dict[str, Any]) -> bool:
    return any(options[bound] for bound in BOUNDS)


def _recycles(options: dict[str, Any]) -> bool:
    """Only a supervisor can replace a process."""
    return bool(options["max_rss"] or options["max_iterations"])


def _is_in_memory(alias: str) -> bool:
    """Another process would not see its tasks."""
    return not couriers[alias].works_across_processes


def _check_combination(options: dict[str, Any]) -> None:
    for one, other in EXCLUSIVE:
        if options[one] and options[other]:
            one, other = one.replace("_", "-"), other.replace("_", "-")
            raise CommandError(f"--{one} and --{other} exclude each other: leave one of them out.")
    if options["reload"] and not settings.DEBUG:
        raise CommandError("--reload is for development: set DEBUG = True, or leave it out.")


def _in_options(complaint: str, options: dict[str, Any]) -> str:
    """Whoever gave an option is told of options, not of fields."""
    if options["linger"] == AUTO and "needs a target_latency" in complaint:
        needed = "--target-latency SECONDS, or a worker with a target_latency"
        return f"--linger auto needs {needed}: how soon results should be there."
    return complaint


def _check_threads(queue: str) -> None:
    found = known_queues().get(queue)
    if not found or issubclass(found.worker_class, ThreadedWorker):
        return
    kind, what = found.worker_class, "it performs a batch as a whole. Use a ClassicWorker"
    if issubclass(kind, BaseAsyncWorker):
        what = "it awaits. Set max_concurrent_batches in its OPTIONS or in the class"
    raise CommandError(
        f"--threads: {kind.__module__}.{kind.__qualname__} has no threads: {what}, or --processes."
    )


def _whole_number(most: int | None = None) -> Callable[[str], int]:
    bound = f"from 1 to {most}" if most else "above 0"

    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and 1 <= int(text) <= (most or int(text)):
            return int(text)
        raise ArgumentTypeError(f"{text!r} is not a whole number {bound}")

    return parse


def _linger(text: str) -> float | str:
    return text if text == AUTO else _seconds(text)


def _seconds(text: str) -> float:
    try:
        return seconds(float(text), "linger")
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 0") from None
