from task_helpers.workers.base import BaseWorker


class One(BaseWorker):
    queue_name = "twins"

    def perform_tasks(self, tasks):
        return tasks


class Other(One):
    queue_name = "twins"
