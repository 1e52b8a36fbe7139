"""
The settings of the example. Every address and secret comes from the environment:

- REDIS_URL - redis://127.0.0.1:6379/0, say: where the tasks wait; in the database by default.
- DATABASE_URL - a SQLite file in var/ by default, see `config.environment.database`.
- DEBUG - on by default. Off, SECRET_KEY is required and ALLOWED_HOSTS (comma between hosts) wanted.
- TASK_PREFIX - of all keys in Redis, for several shops on one server.
- SQL_LOG - a file that gets every SQL statement, while DEBUG is on.
"""

import os
from pathlib import Path
from urllib.parse import quote

from config import environment

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Django

DEBUG = environment.flag("DEBUG", default=True)
# A fixed key lets the processes of a development server agree. Off DEBUG there is no default.
SECRET_KEY = os.environ.get("SECRET_KEY", "development only" if DEBUG else "")
ALLOWED_HOSTS = environment.words("ALLOWED_HOSTS")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_task_helpers",
    "shop",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_task_helpers.middleware.TaskErrorMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"
STATIC_URL = "static/"
USE_TZ = True
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {
    "default": environment.database(
        os.environ.get("DATABASE_URL") or f"sqlite:///{quote(str(BASE_DIR / 'var/shop.sqlite3'))}"
    )
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "line"},
        "sql": {
            "class": "logging.FileHandler",
            "filename": os.environ.get("SQL_LOG") or os.devnull,
            "delay": True,
        },
    },
    "loggers": {
        "shop": {"handlers": ["console"], "level": "INFO"},
        "task_helpers": {"handlers": ["console"], "level": "INFO"},
        "django_task_helpers": {"handlers": ["console"], "level": "INFO"},
    },
}
if "SQL_LOG" in os.environ:
    LOGGING["loggers"]["django.db.backends"] = {
        "handlers": ["sql"],
        "level": "DEBUG",
        "propagate": False,
    }

# --- django_task_helpers

TASK_HELPERS = {
    "QUEUES": {
        # Many requests, one INSERT: a batch may wait 20 ms to fill.
        "bulk_data_saving": {
            "WORKER": "shop.workers.BulkSaveWorker",
            "OPTIONS": {"max_tasks_per_iteration": 500, "linger": 0.02},
        },
        # Slow work, one function call a task.
        "reports": {"WORKER": "task_helpers.workers.classic.ClassicWorker"},
    },
}
if REDIS_URL := os.environ.get("REDIS_URL"):
    TASK_HELPERS["COURIERS"] = {
        "default": {
            "BACKEND": "task_helpers.couriers.redis.RedisClientWorkerTaskCourier",
            "LOCATION": REDIS_URL,
            "OPTIONS": {"prefix": os.environ.get("TASK_PREFIX") or "task_helpers"},
        }
    }
