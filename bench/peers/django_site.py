"""Peers: one Django settings-and-models module for the two Django peers (DRF as its tutorial writes it, and django-ninja)."""
import hashlib, os
from urllib.parse import urlsplit
import django
from django.conf import settings

URL = urlsplit(os.environ["URL"])
settings.configure(
    DEBUG=False, SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=os.environ["PEER"], USE_TZ=True,
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework", "django_filters"],
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": URL.path[1:], "USER": URL.username, "PASSWORD": URL.password,
                           "HOST": URL.hostname, "PORT": URL.port, "CONN_MAX_AGE": 600}},
    REST_FRAMEWORK={"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]},
)
django.setup()
from django.db import models


class Device(models.Model):
    device_name = models.CharField(max_length=255, unique=True)
    device_mac = models.CharField(max_length=17, unique=True)
    device_type = models.CharField(max_length=16, choices=[("CONSUMER", "CONSUMER"), ("CORPORATE", "CORPORATE")])
    device_holder = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label = "peer"
        db_table = "device"


class ApiKey(models.Model):
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    revoked = models.BooleanField(default=False)

    class Meta:
        app_label = "peer"
        db_table = "apikey"


def valid(key):
    return ApiKey.objects.filter(digest=hashlib.sha256((key or "").encode()).hexdigest(), revoked=False).exists()


from django.core.wsgi import get_wsgi_application
application = get_wsgi_application()
