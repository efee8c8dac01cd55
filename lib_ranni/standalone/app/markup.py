"""Gradio's page as the app serves it: nothing in it asks another server for anything."""

from __future__ import annotations

import re

import gradio as gr

_ELSEWHERE = re.compile(rb"<(link|script)\b[^>]*https://[^>]*>(\s*</script>)?", re.DOTALL)
"""Fonts that are not used, and a script for pages within pages."""

_ICON = (
    b"""<link rel="icon" href="data:image/svg+xml,"""
    b"""<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'>"""
    b"""<rect x='3' y='8' width='15' height='20' rx='3' fill='%234f46e5'/>"""
    b"""<rect x='14' y='3' width='15' height='15' rx='3' fill='%23f97316' fill-opacity='.85'/></svg>">"""
)

HEADERS = {
    "Cache-Control": "no-store",
    # Gradio makes functions of texts, which needs `unsafe-eval`.
    "Content-Security-Policy": (
        "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
        "connect-src 'self' ws: wss: data: blob:; object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
    ),
}


def mended(page: bytes) -> bytes:
    """Gradio's page without what comes from elsewhere, and with an icon."""
    page = _ELSEWHERE.sub(b"", page).replace(b"</head>", _ICON + b"</head>", 1)
    # Without a version, which Gradio's login page lacks, its script sends the page to a server of its makers.
    version = b'"auth_required":true,"version":"%s"' % gr.__version__.encode()
    return page.replace(b'"auth_required":true', version, 1)
