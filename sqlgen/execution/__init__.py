"""Execution: a checked query goes in, a bounded result comes out, nothing is ever written.

``open_driver`` gives the ``Driver`` of an engine; ``compare.results_equal`` says whether two
results answer a question alike.
"""

from sqlgen.execution.driver import Driver, RowStream, open_driver

__all__ = ["Driver", "RowStream", "open_driver"]
