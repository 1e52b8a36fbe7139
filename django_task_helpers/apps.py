"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig
from django.core.checks import Tags, register
from django.utils.module_loading import autodiscover_modules

from django_task_helpers.checks import check_command_name, check_databases, check_settings


class TaskHelpersConfig(AppConfig):
    name = "django_task_helpers"
    verbose_name = "Task queues"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """
        Imports the `tasks.py` of each app, so that its functions are registered in every process.
        The `workers.py` may be heavy: they are imported when somebody asks for the queues, which
        are a worker, the admin page and the checks. Opens no connection.
        """
        register(check_settings)
        register(check_command_name)
        register(check_databases, Tags.database)
        autodiscover_modules("tasks")
