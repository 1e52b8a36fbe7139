"""The admin's page of queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.text import capfirst
from django.views.decorators.http import require_safe

from django_task_helpers.admin.overview import KnownQueue, Overview, Problem, read_overview
from django_task_helpers.conf import read_settings
from django_task_helpers.couriers import couriers
from django_task_helpers.models import Queue
from django_task_helpers.workers import known_queues

if TYPE_CHECKING:
    QueueModelAdmin = admin.ModelAdmin[Queue]
else:
    QueueModelAdmin = admin.ModelAdmin


@admin.register(Queue)
class QueueAdmin(QueueModelAdmin):
    """One page instead of the list and the forms of a table. For other sites, register it there."""

    change_list_template = "admin/django_task_helpers/queue/change_list.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Queue | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Queue | None = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Queue | None = None) -> bool:
        return request.user.has_perm("django_task_helpers.view_queue")

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.changelist_view)
        return [path("", page, name="django_task_helpers_queue_changelist")]

    @method_decorator(require_safe)
    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        overview = _overview()
        context = {
            **self.admin_site.each_context(request),
            "title": capfirst(self.opts.verbose_name_plural),
            "opts": self.opts,
            "rows": overview.rows,
            "problems": overview.problems,
            "read_at": timezone.now(),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.change_list_template, context)


def _overview() -> Overview:
    """
    Of all known queues. Where the settings or a `workers.py` are broken (this host may lack what
    a worker needs), of the queues named in the settings.
    """
    problems = []
    try:
        queues = [KnownQueue(queue.name, queue.courier) for queue in known_queues().values()]
    except (ImproperlyConfigured, ImportError) as error:
        problems.append(Problem(str(error)))
        usable, _ = read_settings()
        queues = [KnownQueue(queue.name, queue.courier) for queue in usable.queues.values()]
    overview = read_overview(queues, couriers.__getitem__)
    overview.problems[:0] = problems
    return overview
