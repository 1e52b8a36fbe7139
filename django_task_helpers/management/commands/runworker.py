"""`manage.py runworker QUEUE`"""

from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from django_task_helpers.management.commands._running import WorkerRun
from django_task_helpers.workers import UnknownQueue, build_worker, known_queues
from task_helpers.durations import seconds
from task_helpers.exceptions import CourierError

logger = logging.getLogger("django_task_helpers.worker")

MAX_BATCH = 1000


class Command(BaseCommand):
    help = (
        "Performs the tasks of a queue. SIGTERM and Ctrl-C end it after the batch at hand; "
        "a second one gives the batch back and ends it now."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add, count = parser.add_argument, _whole_number()
        add("queue", help="the queue to work on")
        add("--burst", action="store_true", help="stop when the queue is empty")
        add("--iterations", type=count, metavar="N", help="stop after N batches")
        add("--max-tasks", type=count, metavar="N", help="stop after N tasks")
        add("--batch-size", type=_whole_number(MAX_BATCH), metavar="N", help="most tasks a batch")
        add("--linger", type=_seconds, metavar="SECONDS", help="how long a batch may fill")
        add("--courier", metavar="ALIAS", help="a courier other than that of the queue")
        add("--reload", action="store_true", help="start anew when the code changes (development)")

    def handle(self, *, queue: str, reload: bool, **options: Any) -> None:
        self._say_at_all = options["verbosity"] > 0
        if reload:
            _check_reload(options["burst"])
        try:
            run = self._make_run(queue, **options)
            if reload:
                run.perform_reloading(self._complain)
            elif code := run.perform():
                sys.exit(code)
        except CourierError as error:
            raise CommandError(error) from error

    def _make_run(self, queue: str, **options: Any) -> WorkerRun:
        try:
            worker = build_worker(queue, options["courier"], **_fields(options))
            courier = options["courier"] or known_queues()[queue].courier
        except (UnknownQueue, ImproperlyConfigured) as error:
            raise CommandError(error) from error
        iterations = options["iterations"]
        return WorkerRun(worker, iterations=iterations, courier=courier, say=self._say)

    def _say(self, text: str) -> None:
        """Once: in the project's log if it shows such lines, else on stdout."""
        if logger.isEnabledFor(logging.INFO) and logger.hasHandlers():
            logger.info(text)
        elif self._say_at_all:
            self.stdout.write(text)
            self.stdout.flush()

    def _complain(self, text: str) -> None:
        self.stderr.write(self.style.ERROR(text))


def _fields(options: dict[str, Any]) -> dict[str, Any]:
    """The fields of the worker that the command line sets."""
    fields = {
        "burst": options["burst"] or None,
        "max_tasks": options["max_tasks"],
        "max_tasks_per_iteration": options["batch_size"],
        "linger": options["linger"],
    }
    return {name: value for name, value in fields.items() if value is not None}


def _check_reload(burst: bool) -> None:
    if burst:
        raise CommandError("--reload and --burst exclude each other: leave one of them out.")
    if not settings.DEBUG:
        raise CommandError("--reload is for development: set DEBUG = True, or leave it out.")


def _whole_number(most: int | None = None) -> Callable[[str], int]:
    bound = f"from 1 to {most}" if most else "above 0"

    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and 1 <= int(text) <= (most or int(text)):
            return int(text)
        raise ArgumentTypeError(f"{text!r} is not a whole number {bound}")

    return parse


def _seconds(text: str) -> float:
    try:
        return seconds(float(text), "linger")
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 0") from None
