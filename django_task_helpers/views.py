"""A JSON view of one task, to be polled by whoever started it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from django_task_helpers.conf import get_settings
from django_task_helpers.couriers import couriers
from task_helpers.couriers.base import ClientTaskCourier
from task_helpers.exceptions import (
    CourierUnavailable,
    PerformTaskError,
    TaskCancelled,
    TaskLost,
    TaskTimeout,
)
from task_helpers.tasks import TaskStatus


@method_decorator(never_cache, name="dispatch")
class TaskResultView(View):
    """
    Says how far a task of one queue is. Each queue is opened by name, no other can be read:

        path("reports/<uuid:task_id>/", TaskResultView.as_view(queue_name="reports"))

    Whoever knows the id can read the result; ids cannot be guessed. Combine it with
    `LoginRequiredMixin` or the like where that is not enough.

    200 {"status": "succeeded", "result": ...}
    200 {"status": "failed" or "cancelled", "error": {"type": ..., "message": ...}}
    202 {"status": "waiting", "delayed" or "running"}, with Retry-After; for a running task that
        said so with "progress": 0.4 and "message": "reading"
    404 {"status": "unknown"}: never added, or the result has expired
    503 {"status": "unavailable"}, with Retry-After, when the store cannot be reached

    The result stays, and can be read again until it expires.

    - queue_name - the queue, required.
    - courier_alias - the courier; None: that of the queue in the settings.
    - retry_after - seconds after which to ask again.
    """

    http_method_names = ["get", "head", "options"]
    queue_name = ""
    courier_alias: str | None = None
    retry_after = 1

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        if not initkwargs.get("queue_name", cls.queue_name):
            raise ImproperlyConfigured(f'write {cls.__name__}.as_view(queue_name="...")')
        return super().as_view(**initkwargs)

    def get(self, request: HttpRequest, task_id: UUID) -> HttpResponseBase:
        try:
            return self._answer(task_id)
        except CourierUnavailable:
            return self._later({"status": "unavailable"}, 503)

    def result_data(self, result: Any) -> Any:
        """What is shown of a result. Override it for types that `DjangoJSONEncoder` lacks."""
        return result

    def error_data(self, error: PerformTaskError) -> Any:
        """What is shown of the error of a task. Never its traceback, which is for the log."""
        return {"type": error.exception_type or type(error).__name__, "message": error.message}

    def _answer(self, task_id: UUID) -> JsonResponse:
        courier = self._courier()
        try:
            # With a timeout, since that also ends the wait for a store that is away.
            result = courier.wait_for_task_result(self.queue_name, task_id, False, timeout=0)
        except TaskTimeout:
            return self._unfinished(courier.get_task_status(self.queue_name, task_id))
        except TaskLost:
            return JsonResponse({"status": TaskStatus.UNKNOWN}, status=404)
        except PerformTaskError as error:
            cancelled = isinstance(error, TaskCancelled)
            status = TaskStatus.CANCELLED if cancelled else TaskStatus.FAILED
            return JsonResponse({"status": status, "error": self.error_data(error)})
        return JsonResponse({"status": TaskStatus.SUCCEEDED, "result": self.result_data(result)})

    def _unfinished(self, status: TaskStatus) -> JsonResponse:
        if status == TaskStatus.UNKNOWN:
            return JsonResponse({"status": status}, status=404)
        if status in (TaskStatus.WAITING, TaskStatus.DELAYED):
            return self._later({"status": status}, 202)
        # It may have ended since: then the next poll has its result.
        said = {"progress": status.progress, "message": status.message}
        said = {name: value for name, value in said.items() if value not in (None, "")}
        return self._later({"status": TaskStatus.RUNNING, **said}, 202)

    def _later(self, data: dict[str, Any], status: int) -> JsonResponse:
        return JsonResponse(data, status=status, headers={"Retry-After": str(self.retry_after)})

    def _courier(self) -> ClientTaskCourier:
        return couriers[self.courier_alias or get_settings().queue(self.queue_name).courier]
