"""From a task that nobody can do in time to an HTTP answer that says so."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.cache import patch_vary_headers
from django.utils.deprecation import MiddlewareMixin
from django.utils.log import log_response
from django.utils.translation import gettext as _

from task_helpers.exceptions import (
    CourierUnavailable,
    QueueFull,
    StoreFull,
    TaskExpired,
    TaskTimeout,
)

logger = logging.getLogger("django_task_helpers.middleware")

NOT_ADDED = (QueueFull, StoreFull)
TOO_LATE = (TaskTimeout, TaskExpired)

PROBLEM = "application/problem+json"
JSON_TYPES = (PROBLEM, "application/json")
TEXT_TYPES = ("text/plain", "text/html")


class TaskErrorMiddleware(MiddlewareMixin):
    """
    Answers for views that let errors of a courier pass, sync and async:

    503 for `QueueFull` and `StoreFull`: nothing was added
    503 for `CourierUnavailable`, which says so: where the store was lost during a wait, the task
        may be performed all the same
    504 for `TaskTimeout` and `TaskExpired`: no result came in time

    All with `Retry-After`, and with problem details (RFC 9457) or one line of text, as the client
    prefers. The error itself goes to the log, as one warning. Other errors pass.

    - retry_after - seconds after which to try again, where the error does not say it.
    """

    retry_after = 5

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if (meaning := _meaning(error)) is None:
            return None
        status, detail = meaning
        response = _problem(request, status, f"{detail} {_('Try again later.')}")
        patch_vary_headers(response, ["Accept"])
        response["Retry-After"] = math.ceil(getattr(error, "retry_after", self.retry_after))
        text = f"{type(error).__name__}: {error}"
        log_response(
            *("%s at %s: %s", status.phrase, request.path, text),
            response=response,
            request=request,
            logger=logger,
            level="warning",
        )
        return response


def _meaning(error: Exception) -> tuple[HTTPStatus, str] | None:
    if isinstance(error, NOT_ADDED):
        return HTTPStatus.SERVICE_UNAVAILABLE, _("This cannot be taken on now.")
    if isinstance(error, CourierUnavailable):
        return HTTPStatus.SERVICE_UNAVAILABLE, _("It is not known whether this was taken on.")
    if isinstance(error, TOO_LATE):
        return HTTPStatus.GATEWAY_TIMEOUT, _("No answer in time.")
    return None


def _problem(request: HttpRequest, status: HTTPStatus, detail: str) -> HttpResponse:
    wanted = request.get_preferred_type([*JSON_TYPES, *TEXT_TYPES])
    if wanted in TEXT_TYPES:
        return HttpResponse(detail, status=status, content_type="text/plain; charset=utf-8")
    problem = {"title": status.phrase, "status": status.value, "detail": detail}
    return JsonResponse(problem, status=status, content_type=wanted or PROBLEM)
