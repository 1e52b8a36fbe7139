"""Django's settings for the families that keep their tasks in a database: each makes its own."""

INSTALLED_APPS = ["django_task_helpers"]
