"""Workers without code of your own: they create, change and read rows for many callers at once."""

from django_task_helpers.bulk.create import BulkCreateWorker
from django_task_helpers.bulk.get import BulkGetWorker
from django_task_helpers.bulk.update import BulkUpdateWorker

__all__ = ["BulkCreateWorker", "BulkGetWorker", "BulkUpdateWorker"]
