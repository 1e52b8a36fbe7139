"""Workers with something wrong in their classes, which `check` is to find."""

import os
from typing import Any

from django.contrib.auth.models import Group

from django_task_helpers.bulk import BulkCreateWorker
from task_helpers.workers.base import BaseWorker


class Echo(BaseWorker):
    def perform_tasks(self, tasks: Any) -> Any:
        return tasks


class Slow(Echo):
    queue_name = "slow"
    linger = "soon"


class Slipped(Echo):
    queue_name = "slipped"
    max_task_per_iteration = 5


class Idle(BaseWorker):
    queue_name = "idle"


class Plain(Echo):
    """Takes no fields."""

    queue_name = "plain"

    def __init__(self, task_courier: Any) -> None:
        super().__init__(task_courier)


class Broken(Echo):
    queue_name = "broken"

    def __init__(self, task_courier: Any, **fields: Any) -> None:
        super().__init__(task_courier, **fields)
        self.key = os.environ["A_KEY_THAT_NOBODY_HAS"]


class SaveGroups(BulkCreateWorker):
    queue_name = "groups"
    model = Group

    def setup(self) -> None:
        raise AssertionError("setup is for the start")
