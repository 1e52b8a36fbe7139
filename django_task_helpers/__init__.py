"""
Task queues for Django: `courier` is the default courier, `couriers` has all by alias; those of
`async_courier` and `async_couriers` are awaitable.
"""

from django_task_helpers.couriers import async_courier, async_couriers, courier, couriers

__all__ = ["async_courier", "async_couriers", "courier", "couriers"]
