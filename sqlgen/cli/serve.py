"""``sqlgen serve`` and ``sqlgen mcp``: the service, its keys, and the server for agents."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from sqlgen.cli.shared import connected, db_option, example, say
from sqlgen.config import load_settings
from sqlgen.errors import UsageError
from sqlgen.files import write_whole

if TYPE_CHECKING:
    from sqlgen.serve.settings import ServeSettings

__all__ = ["mcp", "serve"]

_config_option = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The sqlgen.toml to use, else the nearest one.",
)


def _need(extra: str, *modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"this needs {', '.join(missing)}: pip install 'sqlgen[{extra}]'")


def _use(config: Path | None, db: str | None) -> None:
    """Tell this process, and the workers that it starts, which settings and database to use."""
    if config is not None:
        os.environ["SQLGEN_CONFIG"] = str(config.absolute())
    if db is not None:
        os.environ["SQLGEN_DB"] = db


@click.group(
    invoke_without_command=True,
    epilog=example(
        "sqlgen serve --db postgresql://reader@localhost/sales --workers 2",
        "sqlgen serve key anna --save",
    ),
)
@db_option
@_config_option
@click.option("--host", help="Address to listen at (127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen at (8000); 0 takes a free one.")
@click.option("--workers", type=click.IntRange(1, 256), metavar="N", help="Worker processes (1).")
@click.pass_context
def serve(
    context: click.Context,
    db: str | None,
    config: Path | None,
    host: str | None,
    port: int | None,
    workers: int | None,
) -> int:
    """Answer over HTTP: REST, a web page at /, and MCP at /mcp. SIGTERM lets accepted questions end first."""
    if context.invoked_subcommand is not None:
        return 0
    _need("serve", "fastapi", "uvicorn", "prometheus_client")
    from sqlgen.serve.settings import read_serve

    _use(config, db)
    flags = {"host": host, "port": port, "workers": workers}
    given = {name: value for name, value in flags.items() if value is not None}
    wanted = read_serve({**load_settings().serve, **given})
    # What is wrong with the database is told here, once, and its index is made before several want to.
    with connected(db, None, None) as database:
        database.retrieve("ready")
    _warn(wanted)
    _listen(wanted)
    return 0


def _warn(serve: ServeSettings) -> None:
    if not serve.keys and serve.host not in ("127.0.0.1", "::1", "localhost"):
        say(f"warning: anybody who reaches {serve.host} may ask; 'sqlgen serve key NAME' makes a key")
    if importlib.util.find_spec("mcp") is None:
        say("without the package mcp there is no /mcp: pip install 'sqlgen[mcp]'")


def _listen(serve: ServeSettings) -> None:
    import uvicorn
    from uvicorn.supervisors import Multiprocess

    from sqlgen.serve.protocol import SharedSocket

    config = uvicorn.Config(
        "sqlgen.serve.app:from_environment",
        factory=True,
        workers=serve.workers,
        http="sqlgen.serve.protocol:TimedProtocol",
        ws="none",
        access_log=False,
        server_header=False,
        timeout_keep_alive=serve.idle_timeout_s,
        timeout_graceful_shutdown=serve.shutdown_s,
        log_level="warning",
    )
    # uvicorn sends the signal that ended it once more when all is answered.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, _leave)
    with ExitStack() as stack:
        listening = stack.enter_context(_bound(serve.host, serve.port))
        host, port = listening.getsockname()[:2]
        say(f"listening at http://{f'[{host}]' if ':' in host else host}:{port}")
        if serve.workers == 1:
            uvicorn.Server(config).run([listening])
            return
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sqlgen-metrics-"))
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        Multiprocess(config, [SharedSocket(listening)]).run()


def _leave(number: int, frame: object) -> NoReturn:
    raise SystemExit(0)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"cannot listen at {host}: {error.strerror}; give another --host") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.set_inheritable(True)
    except OSError as error:
        made.close()
        raise UsageError(
            f"cannot listen at {host} port {port}: {error.strerror}; give another --port"
        ) from error
    return made


@serve.command(name="key", epilog=example("sqlgen serve key anna", "sqlgen serve key bi-tool --save"))
@_config_option
@click.option("--save", is_flag=True, help="Append the lines to sqlgen.toml.")
@click.argument("name")
def key(config: Path | None, save: bool, name: str) -> int:
    """Print a new key for NAME, once, and the lines for sqlgen.toml that keep its hash alone."""
    from sqlgen.serve.settings import digest_of, new_key, read_serve

    _use(config, None)
    settings = load_settings()
    made = new_key()
    table = {"hash": digest_of(made)}
    keys = {**settings.serve.get("keys", {})}
    if name in keys:
        raise UsageError(f"there is a key for {name!r}; take its lines out of sqlgen.toml first")
    read_serve({**settings.serve, "keys": {**keys, name: table}})
    lines = f'[serve.keys.{name}]\nhash = "{table["hash"]}"\n'
    if save:
        path = _saved(settings.policy_file or config or Path("sqlgen.toml"), lines)
        say(f"kept its hash in {path}; a running service takes it up at once. The key is shown this once:")
    else:
        say("put these lines into sqlgen.toml; the key is shown this once:")
        click.echo(lines, err=True, nl=False)
    click.echo(made)
    return 0


def _saved(path: Path, lines: str) -> Path:
    """Append a table to the settings, in one move, unless the result could not be read."""
    import tomllib

    try:
        before = path.read_text("utf-8") if path.exists() else ""
        text = f"{before.rstrip()}\n\n{lines}" if before.strip() else lines
        tomllib.loads(text)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        write_whole(path, text, mode=mode)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"cannot append to {path} ({error}); write the lines yourself") from error
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error.strerror}); write the lines yourself") from error
    return path


@click.command(epilog=example("sqlgen mcp --db sqlite:///shop.db"))
@db_option
@_config_option
def mcp(db: str | None, config: Path | None) -> int:
    """Serve one agent over stdin and stdout by the Model Context Protocol: ask, search_schema, check, run, feedback."""
    _need("mcp", "mcp", "prometheus_client")
    from sqlgen.serve.agents import make_server
    from sqlgen.serve.keys import LOCAL
    from sqlgen.serve.room import Room
    from sqlgen.serve.service import Service
    from sqlgen.serve.settings import read_serve

    _use(config, db)
    settings = load_settings()
    limits = read_serve(settings.serve)
    with connected(db, None, None) as database:
        database.warm()
        room = Room(limits.running, limits.waiting, timeout_s=limits.answer_timeout_s)
        service = Service(database, settings)
        try:
            make_server(lambda: service, lambda: room, caller=LOCAL).run("stdio")
        finally:
            room.close()
    return 0
