"""The policy in force for one open database: read again when its file changes, laid on the catalog of the moment."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlgen.config import Settings, reload_policy
from sqlgen.errors import UsageError
from sqlgen.files import stamp_of
from sqlgen.policy import Policy, Protection, Value, bind, bound_values
from sqlgen.types import Catalog

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["Enforcement"]

_log = logging.getLogger("sqlgen.policy")


class Enforcement:
    """Knows the policy, the values for its row filters, and the views that it must follow. Safe between threads.

    ``views`` are the definitions of a schema file's views; a live database is asked for its own.
    """

    def __init__(
        self, settings: Settings, context: Mapping[str, Any] | None, views: Mapping[str, str] | None = None
    ) -> None:
        self._policy = settings.policy
        self._file = settings.policy_file
        self._stamp = stamp_of(self._file, "the policy")
        self._given = _values(context)
        self._views: tuple[str | None, Mapping[str, str]] = (None, views or {})
        self._lock = threading.Lock()
        self._warned: set[str] = set()

    def policy(self) -> Policy:
        """The policy as it is written now. Raises ConfigError when its file is gone or makes no sense."""
        with self._lock:
            stamp = stamp_of(self._file, "the policy")
            if self._file is not None and stamp != self._stamp:
                self._policy = reload_policy(self._file)
                self._stamp = stamp
            return self._policy

    def context(self, given: Mapping[str, Any] | None) -> dict[str, Value]:
        """Values for row filters: those given now before those of ``connect`` before those of the policy."""
        return {**dict(self.policy().context), **self._given, **_values(given)}

    def mark(self, engine: Engine | None) -> str:
        """What the fingerprint of a schema gains: changes with the policy and with any view's definition; else ''."""
        policy = self.policy()
        if policy.is_empty:
            return ""
        if engine is not None:
            from sqlgen.catalog import read_views

            self._views = read_views(engine)
        said = repr((self._views[0], sorted(self._views[1].items())))
        return f":{policy.digest}:{hashlib.sha256(said.encode('utf-8', 'backslashreplace')).hexdigest()[:16]}"

    def protection(self, catalog: Catalog) -> Protection | None:
        """The policy laid on ``catalog`` and its views, as ``mark`` last saw them; None without a policy."""
        policy = self.policy()
        if policy.is_empty:
            return None
        from sqlgen.sql.views import views_closed

        default, definitions = self._views
        laid = bind(policy, catalog, default)
        for pattern in laid.unmatched:
            if pattern not in self._warned:
                self._warned.add(pattern)
                _log.warning("the policy's pattern %s fits nothing in this database", pattern)
        return views_closed(laid, definitions)

    def unsampled(self, catalog: Catalog) -> dict[str, frozenset[str]]:
        """The columns, by table key, whose cells must not be looked at."""
        laid = self.protection(catalog)
        return {} if laid is None else {table.key: laid.unsampled(table) for table in catalog.tables}


def _values(context: Mapping[str, Any] | None) -> dict[str, Value]:
    try:
        return dict(bound_values(context or {}))
    except ValueError as error:
        raise UsageError(f"policy_context: {str(error).removeprefix('context: ')}") from None
