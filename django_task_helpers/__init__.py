"""Task queues for Django: `courier` is the default courier, `couriers` has all by alias."""

from django_task_helpers.couriers import courier, couriers

__all__ = ["courier", "couriers"]
