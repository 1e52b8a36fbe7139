"""What the admin needs of a model: a place in its index, and permissions."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class NoRows(models.Manager["Queue"]):
    """There is no table to read: `dumpdata` and everybody else gets no rows instead of an error."""

    def get_queryset(self) -> models.QuerySet[Queue]:
        return super().get_queryset().none()


class Queue(models.Model):
    """
    A queue, for the admin. Without a table: its numbers come from the courier.

    Who may see the queues has `view_queue`. `change_queue` and `delete_queue` are for what is done
    to the tasks in them; queues are added in the settings, not in the admin.
    """

    name = models.CharField(_("name"), max_length=100, primary_key=True)

    objects = NoRows()

    class Meta:
        app_label = "django_task_helpers"
        base_manager_name = "objects"
        default_permissions = ("view", "change", "delete")
        managed = False
        verbose_name = _("queue")
        verbose_name_plural = _("queues")

    def __str__(self) -> str:
        return self.name
