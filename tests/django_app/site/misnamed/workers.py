from task_helpers.workers.base import BaseWorker


class Spaced(BaseWorker):
    queue_name = "with space"
