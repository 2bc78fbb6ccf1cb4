"""Style sheets and scripts travel compressed: a page is usable sooner where the line is slow."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware

#: What is larger (Plotly) is fetched once by a browser and would cost each time more than it saves.
LARGEST = 200_000


class StaticCompressionMiddleware(GZipMiddleware):
    """Only our own files: nothing secret stands in them, so compression gives nothing away (BREACH)."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        size = int(response.headers.get("Content-Length") or LARGEST)
        if not request.path.startswith(settings.STATIC_URL) or size >= LARGEST:
            return response
        compressed: HttpResponseBase = super().process_response(request, response)
        return compressed
