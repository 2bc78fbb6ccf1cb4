"""All settings. What differs between installations comes from the environment (docs/configuration.md), nothing else."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from celery.schedules import schedule
from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from invade_scada import env

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("INVADE_DATA_DIR") or BASE_DIR / ".data").resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)


def _secret_key() -> str:
    """INVADE_SECRET_KEY, or this installation's own random key, made once and readable by its owner only."""
    given = env.text("INVADE_SECRET_KEY")
    if given:
        if len(given) < 32:
            raise env.SettingError("INVADE_SECRET_KEY must have at least 32 characters")
        return given
    path = DATA_DIR / "secret_key"
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(64))
    except FileExistsError:
        pass
    return path.read_text()


SECRET_KEY = _secret_key()
DEBUG = False
ALLOWED_HOSTS = env.words("INVADE_ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = env.words("INVADE_TRUSTED_ORIGINS")

WEB_HOST = env.text("INVADE_HOST", "127.0.0.1")
WEB_PORT = env.integer("INVADE_PORT", 8000, low=1, high=65535)
OCPP_HOST = env.text("INVADE_OCPP_HOST", "127.0.0.1")
OCPP_PORT = env.integer("INVADE_OCPP_PORT", 9000, low=1, high=65535)
SIM_PORT = env.integer("INVADE_SIM_PORT", 15000, low=1, high=65000)
SIM_MEDIA = env.flag("INVADE_SIM_MEDIA", False)
PLATFORM_URL = env.text("INVADE_PLATFORM_URL")
PLATFORM_TOKEN = env.text("INVADE_PLATFORM_TOKEN")
INSTALLATION = env.text("INVADE_INSTALLATION", "invade-scada")
PUBLIC_URL = env.text("INVADE_PUBLIC_URL") or f"http://127.0.0.1:{WEB_PORT}"
WEBHOOK_NETWORKS = env.networks("INVADE_WEBHOOK_NETWORKS")
HISTORY_DAYS = env.integer("INVADE_HISTORY_DAYS", 30, low=1, high=36500)
EXPORT_DIR = Path(env.text("INVADE_EXPORT_DIR") or DATA_DIR / "exports").resolve()
EXPORT_DAYS = env.integer("INVADE_EXPORT_DAYS", 7, low=1, high=3650)
FORECAST_DAYS = env.integer("INVADE_FORECAST_DAYS", 90, low=1, high=3660)
ROLLUP_DAYS = env.integer("INVADE_ROLLUP_DAYS", 3660, low=1, high=36500)
SETPOINT_RATE = env.integer("INVADE_SETPOINT_RATE", 20, low=1, high=10_000)
SETPOINT_BURST = env.integer("INVADE_SETPOINT_BURST", 100, low=1, high=100_000)
SECURE_COOKIES = env.flag("INVADE_HTTPS", False)
REDIS_URL = env.text("REDIS_URL")
#: Without Redis every role lives in one process and talks through memory.
EMBEDDED = not REDIS_URL

# Mail goes out only by what the environment names; without a host there is none.
EMAIL_HOST = env.text("INVADE_SMTP_HOST")
EMAIL_PORT = env.integer("INVADE_SMTP_PORT", 587, low=1, high=65535)
EMAIL_HOST_USER = env.text("INVADE_SMTP_USER")
EMAIL_HOST_PASSWORD = env.text("INVADE_SMTP_PASSWORD")
SMTP_TLS = env.choice("INVADE_SMTP_TLS", "starttls", ("starttls", "tls", "none"))
EMAIL_USE_TLS, EMAIL_USE_SSL = SMTP_TLS == "starttls", SMTP_TLS == "tls"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.text("INVADE_MAIL_FROM", "invade-scada@localhost")

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "channels",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "pilots.apps.PilotsConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "pilots.ui.middleware.UserLocaleMiddleware",
    "pilots.ui.middleware.AuditOriginMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "pilots.ui.middleware.DenyByDefaultMiddleware",
]

ROOT_URLCONF = "invade_scada.urls"
ASGI_APPLICATION = "invade_scada.asgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "pilots.ui.context.navigation",
            ],
        },
    }
]

DATABASES = {"default": env.database("DATABASE_URL", str(DATA_DIR / "scada.sqlite3"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "pilots.User"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher", "django.contrib.auth.hashers.PBKDF2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/accounts/login/"
ACCOUNT_ADAPTER = "pilots.ui.accounts.ClosedSignupAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_RATE_LIMITS = {"login_failed": "10/m/ip,5/5m/key"}
ACCOUNT_LOGOUT_ON_GET = False
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Strict"
SECURE_SSL_REDIRECT = False
SECURE_HSTS_SECONDS = 31_536_000 if SECURE_COOKIES else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_COOKIES else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"

CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

LANGUAGE_CODE = "en"
LANGUAGES = [
    ("en", _("English")),
    ("bg", _("Bulgarian")),
    ("es", _("Spanish")),
    ("ca", _("Catalan")),
    ("nl", _("Dutch")),
    ("nb", _("Norwegian Bokmål")),
    ("de", _("German")),
]
LOCALE_PATHS = [BASE_DIR / "pilots" / "locale"]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "pilots.ui.plotly_files.PlotlyFinder",
]
WHITENOISE_USE_FINDERS = True
WHITENOISE_MAX_AGE = 300

DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "pilots.api.authentication.TokenAuthentication",
        "pilots.api.authentication.ReadOnlySession",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["pilots.api.permissions.DenyAll"],
    "DEFAULT_RENDERER_CLASSES": ["pilots.api.renderers.OrjsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["pilots.api.renderers.StrictJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_THROTTLE_CLASSES": ["pilots.api.permissions.ClientThrottle"],
    "DEFAULT_THROTTLE_RATES": {"client": "20/s"},
    "EXCEPTION_HANDLER": "pilots.api.errors.problem_response",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "INVADE SCADA API",
    "DESCRIPTION": "Measurements, topology and set-points of the INVADE pilots (deliverable D7.1).",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SERVE_AUTHENTICATION": None,
    "ENUM_NAME_OVERRIDES": {
        "DeviceKind": "pilots.api.shapes.DEVICE_KINDS",
        "PointKind": "pilots.api.shapes.POINT_KINDS",
        "WritableKind": "pilots.api.shapes.WRITABLE_KINDS",
        "LinkState": "pilots.api.shapes.LINK_STATES",
        "SetpointState": "pilots.api.shapes.SETPOINT_STATES",
        "GroupState": "pilots.api.group_shapes.GROUP_STATES",
        "ScheduleState": "pilots.api.schedule_shapes.SCHEDULE_STATES",
        "ForecastKind": "pilots.api.forecast_shapes.FORECAST_KINDS",
        "AlarmState": "pilots.api.alarm_shapes.ALARM_STATES",
        "AlarmKind": "pilots.api.alarm_shapes.ALARM_KINDS",
        "AlarmHidden": "pilots.api.alarm_shapes.HIDDEN",
        "ExportState": "pilots.api.export_shapes.EXPORT_STATES",
        "ScheduleResolution": "pilots.api.schedule_shapes.SCHEDULE_RESOLUTIONS",
        "ExportResolution": "pilots.api.export_shapes.RESOLUTIONS",
        "ExportFormat": "pilots.api.export_shapes.FORMATS",
        "SetpointMode": "pilots.api.shapes.MODES",
        "OnExpiry": "pilots.api.shapes.ON_EXPIRY",
    },
}

# Celery carries jobs; values and set-points never travel through it (docs/architecture.md).
CELERY_BROKER_URL = REDIS_URL or "memory://localhost/"
CELERY_BROKER_TRANSPORT_OPTIONS = {"polling_interval": 0.05} if EMBEDDED else {"visibility_timeout": 3600}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 1
CELERY_BEAT_SCHEDULE = {
    "forward the outbox": {"task": "pilots.tasks.forward_outbox", "schedule": schedule(1.0), "options": {"expires": 5}},
    "expire set-points": {"task": "pilots.tasks.expire_setpoints", "schedule": schedule(1.0), "options": {"expires": 5}},
    "run schedules": {"task": "pilots.tasks.run_schedules", "schedule": schedule(1.0), "options": {"expires": 5}},
    "run fallbacks": {"task": "pilots.tasks.run_fallbacks", "schedule": schedule(1.0), "options": {"expires": 5}},
    "notify": {"task": "pilots.tasks.notify", "schedule": schedule(5.0), "options": {"expires": 5}},
    "write exports": {"task": "pilots.tasks.run_exports", "schedule": schedule(1.0), "options": {"expires": 5}},
    "forget exports": {"task": "pilots.tasks.forget_exports", "schedule": schedule(86400.0), "options": {"expires": 3600}},
    "roll up history": {"task": "pilots.tasks.roll_up", "schedule": schedule(60.0), "options": {"expires": 50}},
    "keep history": {"task": "pilots.tasks.maintain_history", "schedule": schedule(3600.0), "options": {"expires": 600}},
    "anchor the audit trail": {
        "task": "pilots.tasks.verify_audit",
        "schedule": schedule(3600.0),
        "kwargs": {"full": False},
        "options": {"expires": 600},
    },
    "verify the audit trail": {
        "task": "pilots.tasks.verify_audit",
        "schedule": schedule(86400.0),
        "options": {"expires": 3600},
    },
    "forget old keys": {"task": "pilots.tasks.forget_old_keys", "schedule": schedule(3600.0), "options": {"expires": 600}},
}

_QUIET = ("daphne", "httpx", "httpcore", "websockets", "ocpp", "celery", "kombu", "asyncio")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname:7} {name}: {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env.text("INVADE_LOG_LEVEL", "INFO")},
    "loggers": {name: {"level": "WARNING"} for name in _QUIET}
    | {"pymodbus": {"level": "CRITICAL"}, "django.request": {"level": "ERROR"}},
}
