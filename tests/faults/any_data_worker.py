"""
A worker that takes whatever stands in its queue.

    python -m tests.faults.any_data_worker PORT QUEUE

Numbers get their result as always; anything else that can be decoded gets the name of its type.
"""

from __future__ import annotations

import faulthandler
import logging
import signal
import sys
from typing import Any

import redis

from task_helpers.couriers.redis import RedisWorkerTaskCourier
from task_helpers.workers import _outages
from task_helpers.workers.base import BaseWorker
from tests.faults.worker import f


class AnyDataWorker(BaseWorker):
    max_tasks_per_iteration = 500

    def perform_tasks(self, tasks: Any) -> Any:
        return [(task_id, _answer(data)) for task_id, data in tasks]


def _answer(data: Any) -> int | str:
    return f(data) if type(data) is int and abs(data) < 2**31 else type(data).__name__


def main(port: str, queue: str) -> None:
    faulthandler.enable()
    logging.basicConfig(format="%(process)d %(levelname)s %(message)s")
    _outages.PAUSE = 0.02  # what is broken here is mended in a moment
    courier = RedisWorkerTaskCourier(redis.Redis(port=int(port)), lease=2)
    worker = AnyDataWorker(courier, queue_name=queue)
    signal.signal(signal.SIGTERM, lambda number, frame: worker.stop())
    worker.perform()


if __name__ == "__main__":
    main(*sys.argv[1:])
