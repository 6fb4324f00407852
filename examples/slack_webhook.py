"""A slash command for Slack, or for any chat with signed webhooks, over the service's REST interface.

SLACK_SIGNING_SECRET=… SQLGEN_URL=http://127.0.0.1:8000 SQLGEN_KEY=… uvicorn --app-dir examples slack_webhook:app --port 9000
"""

import hashlib
import hmac
import json
import os
import time
import urllib.error
import urllib.request
from html import escape
from typing import Any
from urllib.parse import parse_qs

from fastapi import BackgroundTasks, FastAPI, HTTPException, Request

ROWS = 15
app = FastAPI()


@app.post("/slack")
async def slack(request: Request, later: BackgroundTasks) -> dict[str, str]:
    """Take one command. Slack waits three seconds for a word, so that the answer follows on its own."""
    body = await request.body()
    if not is_signed(body, request.headers):
        raise HTTPException(401)
    said = parse_qs(body.decode())
    question = said.get("text", [""])[0]
    later.add_task(reply, question, said["response_url"][0])
    return {"response_type": "ephemeral", "text": escape(f"Looking up: {question}", quote=False)}


def is_signed(body: bytes, headers: Any) -> bool:
    """Whether Slack signed this request within the last five minutes."""
    sent = headers.get("x-slack-request-timestamp", "")
    if not sent.isdecimal() or abs(time.time() - int(sent)) > 300:
        return False
    secret = os.environ["SLACK_SIGNING_SECRET"].encode()
    wanted = "v0=" + hmac.new(secret, b"v0:%s:%s" % (sent.encode(), body), hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), headers.get("x-slack-signature", "").encode())


def reply(question: str, response_url: str) -> None:
    """Ask, and post what comes to where Slack wants it."""
    service, key = os.environ.get("SQLGEN_URL", "http://127.0.0.1:8000"), os.environ.get("SQLGEN_KEY", "")
    try:
        text = spoken(post(f"{service}/ask", {"question": question, "max_rows": ROWS}, f"Bearer {key}"))
    except urllib.error.HTTPError as error:
        text = spoken(json.load(error))
    except OSError:
        text = "the service cannot be reached"
    post(response_url, {"response_type": "ephemeral", "text": text})


def post(url: str, body: dict[str, Any], authorization: str = "") -> Any:
    """Send a document; the document that comes back, or None where it is none."""
    headers = {"content-type": "application/json", "authorization": authorization}
    with urllib.request.urlopen(
        urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=60
    ) as response:
        return json.load(response) if "json" in response.headers.get("content-type", "") else None


def spoken(answer: dict[str, Any]) -> str:
    """The answer as a message; escaped, so that nothing in it can call a person or a channel."""
    if answer["status"] != "answered":
        return escape(answer["message"], quote=False)
    lines = [[column["name"] for column in answer["columns"]], *answer["rows"]]
    table = "\n".join("  ".join("" if cell is None else str(cell) for cell in line) for line in lines)
    return escape(f"{answer['reading']}\n```{table}```\nconfidence {answer['confidence']:.0%}", quote=False)
