"""A worker that says which process it is in, or dies there."""

import os
import signal

from task_helpers.workers.base import BaseWorker


class Mortal(BaseWorker):
    queue_name = "mortal"
    max_tasks_per_iteration = 1

    def perform_single_task(self, task):
        if task[1] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()
