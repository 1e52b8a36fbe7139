"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class TaskHelpersConfig(AppConfig):
    name = "django_task_helpers"
    verbose_name = "Task queues"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """
        Imports the `tasks.py` of each app, so that its functions are registered in every process.
        Opens no connection. Workers are imported when one is asked for: they may be heavy.
        """
        autodiscover_modules("tasks")
