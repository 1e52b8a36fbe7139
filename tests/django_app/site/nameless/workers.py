from task_helpers.workers.base import BaseWorker


class Base(BaseWorker):
    def perform_tasks(self, tasks):
        return tasks


class SaveNotes(Base):
    pass


class SaveDrafts(Base):
    pass
