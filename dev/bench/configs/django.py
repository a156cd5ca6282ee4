"""One page behind Django's page cache, kept in Redis."""
import http.client

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

settings.configure(
    DEBUG=False,
    SECRET_KEY="for a measurement on loopback",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django.middleware.cache.UpdateCacheMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.cache.FetchFromCacheMiddleware",
    ],
    CACHE_MIDDLEWARE_SECONDS=3600,
    CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "{{.Redis}}", "KEY_PREFIX": "{{.Namespace}}"}},
)
django.setup()


def page(request, number):
    origin = http.client.HTTPConnection("{{.Origin}}")
    origin.request("GET", request.path)
    answer = origin.getresponse()
    body = answer.read()
    origin.close()
    return HttpResponse(body, content_type="text/plain; charset=utf-8")


urlpatterns = [path("page/<int:number>", page)]
application = get_wsgi_application()
