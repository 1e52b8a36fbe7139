"""A project that names no courier: its tasks are in its database, the one of DATABASE_URL."""

from config.settings import *  # noqa: F403
from config.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "mortal"]
del TASK_HELPERS  # noqa: F821
