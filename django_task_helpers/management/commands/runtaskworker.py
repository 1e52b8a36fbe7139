"""`manage.py runtaskworker QUEUE`: `runworker` under a name that django-channels does not use."""

from django_task_helpers.management.commands.runworker import Command

__all__ = ["Command"]
