"""The example's settings with more apps, for commands that tests run as processes."""

import os

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS, TASK_HELPERS

INSTALLED_APPS = [*INSTALLED_APPS, "factory"]
if one_more := os.environ.get("ONE_MORE_APP"):
    INSTALLED_APPS.append(one_more)
TASK_HELPERS["COURIERS"]["default"]["OPTIONS"]["retry_seconds"] = 0
