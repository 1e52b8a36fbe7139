"""The loop of a worker that performs several tasks side by side, in threads."""

from __future__ import annotations

from task_helpers.counts import whole_number
from task_helpers.couriers.store import MAX_BATCH
from task_helpers.tasks import Task
from task_helpers.workers._crew import Crew, Duties
from task_helpers.workers._fields import AUTO
from task_helpers.workers._shift import ThreadedShift
from task_helpers.workers.base import IDLE_WAIT, BaseWorker


class ThreadedWorker(BaseWorker):
    """
    - threads - how many tasks are performed at the same time. 1: one after the other, in the
      thread that called `perform`. More: each task by itself in one of so many threads. A batch is
      then what is taken for the threads that are free, whatever `max_tasks_per_iteration` says;
      each result is returned as soon as it is there.
    """

    threads: int = 1
    _shift: ThreadedShift
    _shift_type = ThreadedShift

    def destroy_thread(self) -> None:
        """Called in each of several threads before it ends."""

    def check_fields(self) -> None:
        super().check_fields()
        if whole_number(self.threads, "threads") > MAX_BATCH:
            raise ValueError(f"threads must be from 1 to {MAX_BATCH}, not {self.threads}")
        if self.threads > 1 and self.linger == AUTO:
            raise ValueError(f'linger = "auto" is for batches: not with threads = {self.threads}')

    def perform_iteration(self) -> bool:
        if (crew := self._shift.crew) is None:
            return super().perform_iteration()
        with self._shift.taking:
            while tasks := self._next_tasks(crew):
                if self._begin(crew, tasks):
                    return True
        return not (self.burst or self._shift.stopping)

    def _iterate(self, total_iterations: int | None) -> None:
        if self.threads == 1:
            super()._iterate(total_iterations)
            return
        duties = Duties(self._perform, self._return, self._leave_thread)
        shift = self._shift
        shift.crew = crew = Crew(self.threads, duties, shift.held, self.queue_name)
        shift.beside = True
        try:
            super()._iterate(total_iterations)
            while not crew.wait_until_idle(IDLE_WAIT):
                pass
        finally:
            self._dismiss(crew)

    def _dismiss(self, crew: Crew) -> None:
        """What an interrupted worker has at hand is given back."""
        left = crew.at_hand()
        self._shift.batch += left
        self.tasks_performed -= len(left)
        crew.dismiss()
        self._shift.crew = None

    def _next_tasks(self, crew: Crew) -> list[Task]:
        """[] when the worker is to stop, or `burst` and there is no task and none at hand."""
        while not self._shift.stopping:
            if not crew.wait_for_room(IDLE_WAIT):
                continue
            was_idle = crew.wait_until_idle(0)  # before it looks: what still runs may add tasks
            if tasks := self.wait_for_tasks():
                return tasks
            if self.burst and was_idle:
                break
            crew.wait_until_idle(IDLE_WAIT)
        return []

    def _begin(self, crew: Crew, tasks: list[Task]) -> bool:
        """
        Tasks that a worker died with are performed with nothing beside them, so that it is clear
        who is to blame. False: the worker is to stop before they could begin.
        """
        task_ids = [task_id for task_id, _ in tasks]
        suspects = self.task_courier.are_suspects(self.queue_name, task_ids)
        if suspects and not self._is_alone(crew, tasks):
            return False
        crew.begin(tasks)
        self.tasks_performed += len(tasks)
        self.iterations_performed += 1
        while suspects and not self._shift.stopping and not crew.wait_until_idle(IDLE_WAIT):
            pass
        return True

    def _is_alone(self, crew: Crew, tasks: list[Task]) -> bool:
        """Waits until nothing else is at hand; gives the tasks back when the worker is to stop."""
        shift = self._shift
        shift.takes(tasks)
        shift.held.waits(shift.batch)
        while not shift.stopping:
            if crew.wait_until_idle(IDLE_WAIT):
                shift.dropped()
                return True
        self._abandon_batch()
        return False

    def _leave_thread(self) -> None:
        self.destroy_thread()

    def _next_count(self) -> int:
        if (crew := self._shift.crew) is None:
            return super()._next_count()
        return int(min(crew.room(), self._tasks_left()))
