"""
A worker process whose every execution is on record.

    python ledger_worker.py PORT QUEUE LEDGER LEASE HOLD

appends "<task_id> <pid>" to LEDGER for each task before it performs the batch. With HOLD "yes" it
then never ends.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import redis

from task_helpers.couriers.redis import RedisWorkerTaskCourier
from task_helpers.workers.base import BaseWorker


class LedgerWorker(BaseWorker):
    ledger: str
    hold: bool

    def perform_tasks(self, tasks: Any) -> Any:
        lines = "".join(f"{task_id} {os.getpid()}\n" for task_id, _ in tasks)
        ledger = os.open(self.ledger, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        os.write(ledger, lines.encode())
        os.close(ledger)
        if self.hold:
            threading.Event().wait()
        return [(task_id, number * 2) for task_id, number in tasks]


def main(port: str, queue: str, ledger: str, lease: str, hold: str) -> None:
    courier = RedisWorkerTaskCourier(redis.Redis(port=int(port)), lease=float(lease))
    LedgerWorker(courier, queue_name=queue, ledger=ledger, hold=hold == "yes").perform()


if __name__ == "__main__":
    main(*sys.argv[1:])
