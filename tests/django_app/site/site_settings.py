"""The example's settings with one more app, for commands that tests run as processes."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS, TASK_HELPERS

INSTALLED_APPS = [*INSTALLED_APPS, "factory"]
TASK_HELPERS["COURIERS"]["default"]["OPTIONS"]["retry_seconds"] = 0
