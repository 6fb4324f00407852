"""A question becomes a virtual dataset of Apache Superset, over both services' REST interfaces, to draw charts from.

SQLGEN_URL=http://127.0.0.1:8000 SUPERSET_URL=http://127.0.0.1:8088 SUPERSET_USER=admin SUPERSET_PASSWORD=… \
  python examples/superset_dataset.py 1 "How many orders per month in 2025?"

1 is the id, in Superset, of the database that sqlgen asks.
"""

import json
import os
import sys
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, Request, build_opener

# Superset's token against forged requests counts for one session alone.
opener = build_opener(HTTPCookieProcessor(CookieJar()))


def call(url: str, body: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
    """A JSON document for a JSON document; HTTPError for a status that is no success."""
    data = None if body is None else json.dumps(body).encode()
    with opener.open(
        Request(url, data, {"Content-Type": "application/json", **headers}), timeout=60
    ) as response:
        return json.load(response)


def ask(question: str) -> dict[str, Any]:
    """The service's answer, without its rows; whoever opens the dataset gets them from Superset."""
    service, key = os.environ.get("SQLGEN_URL", "http://127.0.0.1:8000"), os.environ.get("SQLGEN_KEY", "")
    return call(f"{service}/ask", {"question": question, "execute": False}, Authorization=f"Bearer {key}")


def add_dataset(database: int, name: str, sql: str) -> int:
    """The id of a new virtual dataset in Superset."""
    api = os.environ["SUPERSET_URL"] + "/api/v1"
    login = {
        "username": os.environ["SUPERSET_USER"],
        "password": os.environ["SUPERSET_PASSWORD"],
        "provider": "db",
    }
    bearer = f"Bearer {call(f'{api}/security/login', login)['access_token']}"
    token = call(f"{api}/security/csrf_token/", Authorization=bearer)["result"]
    dataset = {"database": database, "table_name": name, "sql": sql}
    headers = {"Authorization": bearer, "X-CSRFToken": token, "Referer": api}
    return call(f"{api}/dataset/", dataset, **headers)["id"]


if __name__ == "__main__":
    try:
        answer = ask(sys.argv[2])
        if answer["status"] != "answered":
            sys.exit(f"{answer['status']}: {answer['message']}")
        print(answer["sql"])
        print("dataset", add_dataset(int(sys.argv[1]), answer["question"], answer["sql"]))
    except HTTPError as error:
        sys.exit(f"{error.url}: {error.code} {error.read().decode()}")
