"""Many callers, one worker call, each caller its own result."""

from task_helpers.registry import task_function

__all__ = ["task_function"]
