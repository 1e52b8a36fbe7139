from task_helpers.workers.base import BaseWorker


class One(BaseWorker):
    queue_name = "twins"


class Other(BaseWorker):
    queue_name = "twins"
