"""Many callers, one worker call, each caller its own result."""

from task_helpers.registry import task_function
from task_helpers.workers.context import context

__all__ = ["context", "task_function"]
