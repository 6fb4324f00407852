"""The web page: one file without any resource of its own, under a policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources

__all__ = ["load_page"]

_PARTS = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def load_page() -> tuple[str, str]:
    """The page, and the Content-Security-Policy that allows its own script and style by their hashes alone.

    >>> page, policy = load_page()
    >>> "<script>" in page, "unsafe" in policy
    (True, False)
    """
    page = resources.files("sqlgen.serve").joinpath("page.html").read_text("utf-8")
    hashes: dict[str, list[str]] = {"script": [], "style": []}
    for kind, text in _PARTS.findall(page):
        digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
        hashes[kind].append(f"'sha256-{digest}'")
    policy = (
        "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        f"script-src {' '.join(hashes['script'])}; style-src {' '.join(hashes['style'])}"
    )
    return page, policy
