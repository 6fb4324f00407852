"""The service: REST, the web page and the MCP server, over one ``Database``.

A request passes ``door`` (host, key, rate, size, time), waits for its turn in ``room``, and is answered by
``service``, which ``app`` puts under URLs and ``agents`` under MCP tools. Nothing is kept in memory between
requests that another worker process would have to know.
"""
