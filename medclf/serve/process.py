"""The server process: bundles opened, uvicorn on a socket that was bound before, signals.

SIGTERM and SIGINT drain: nothing new is accepted, what was accepted is answered. SIGHUP reads the bundles and the
keys again.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import ssl
from pathlib import Path

import uvicorn
import uvloop

from medclf.errors import OptionError
from medclf.runtime import Classifier
from medclf.runtime.cores import usable_cores
from medclf.serve.app import create_app
from medclf.serve.audit_log import AuditLog
from medclf.serve.bundles import Bundles, parse_sources, reload_error
from medclf.serve.keys import Keys
from medclf.serve.metrics import Metrics
from medclf.serve.options import ServeOptions
from medclf.serve.protocol import Protocol
from medclf.serve.service import Service
from medclf.serve.state import State
from medclf.serve.tracing import Tracing
from medclf.serve.watchdog import Watchdog

N_ACCEPTED = 16  # connections in one turn of the event loop: libuv accepts one of each listening socket

logger = logging.getLogger(__name__)


def open_state(options: ServeOptions, *, restarts: int = 0) -> State:
    """Open all that a server needs.

    Args:
        options: The options.
        restarts: How often the process was started again.

    Returns:
        The parts, ready to answer.

    Raises:
        MedclfError: A bundle, the keys or the audit log cannot be used.
    """
    keys = None if options.api_key_file is None else Keys.read(options.api_key_file)
    audit_log = None if options.audit_log is None else AuditLog(options.audit_log)
    tracing = Tracing.to_collector() if options.otel else None
    workers = options.workers or usable_cores()

    def load(folder: Path) -> Classifier:
        return Classifier.load(
            folder,
            provider=options.provider,
            precision=options.precision,
            mode="auto",
            threads=workers,
            cuda_memory_mb=options.cuda_memory_mb,
            cuda_graphs=options.cuda_graphs,
        )

    bundles = Bundles(parse_sources(list(options.bundles)), load)
    n_callers = max(model.classifier.n_callers for model in bundles.models)  # 1 for a GPU
    metrics = Metrics()
    service = Service(bundles, limits=options.limits, metrics=metrics, n_callers=n_callers)
    state = State(
        service,
        options.times,
        keys=keys,
        keys_file=options.api_key_file,
        audit_log=audit_log,
        tracing=tracing,
        access_log=options.access_log,
        tls=options.tls_cert is not None,
        origins=options.origins,
    )
    metrics.watch_ready(lambda: not state.why_not_ready(), restarts=restarts)
    return state


async def reload(state: State) -> None:
    """Read the bundles and the keys again; what cannot be used does not replace what serves.

    Args:
        state: The server's parts.
    """
    bundles, loop = state.service.bundles, asyncio.get_running_loop()
    if state.keys_file is not None:
        try:
            state.keys = Keys.read(state.keys_file)
        except (OptionError, OSError) as error:
            logger.error("the keys were not read again: %s", reload_error(error))
    for name in bundles.names:
        try:
            classifier = await loop.run_in_executor(None, bundles.open, name)
        except Exception as error:
            logger.error("bundle %s: the new version was refused, the old one serves: %s", name, reload_error(error))
            state.service.metrics.reloaded(name, taken=False)
        else:
            bundles.replace(name, classifier)
            state.service.metrics.reloaded(name, taken=True)
            logger.info("bundle %s was replaced", name)
    _freeze()


def _freeze() -> None:
    """Leave out of collections what is there now, as it stays: a full one would hold up answers for 70 ms."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def uvicorn_config(options: ServeOptions, state: State) -> uvicorn.Config:
    """Configure uvicorn: no access log, as that shows query strings; no headers that tell what it is.

    Args:
        options: The options.
        state: The server's parts.

    Returns:
        The configuration, loaded.

    Raises:
        OptionError: The certificate or its key cannot be used.
    """
    config = uvicorn.Config(
        create_app(state),
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=max(1, round(options.times.drain_s)),
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise OptionError(f"--tls-cert, --tls-key: cannot be used ({type(error).__name__}). Are both PEM?") from None
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return config


class _Server(uvicorn.Server):
    """uvicorn's server, which tells our readiness when it is told to end."""

    state: State

    def handle_exit(self, sig: int, frame: object) -> None:
        self.state.draining = True
        self.should_exit = True  # not recorded in uvicorn, which would raise it again after a clean end


def serve(options: ServeOptions, sock: socket.socket, *, parent_pipe: int | None = None, restarts: int = 0) -> None:
    """Serve until told to end.

    Args:
        options: The options.
        sock: Bound, and listening or about to.
        parent_pipe: Reading end of a pipe that closes when the supervisor has gone.
        restarts: How often the process was started again.

    Raises:
        MedclfError: A bundle, the keys or the audit log cannot be used.
    """
    # A request is tokenized by the thread that has it: on busy cores, handing texts over to threads of tokenizers' own
    # and waiting for them took up to 100 ms.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    state = open_state(options, restarts=restarts)
    server = _Server(uvicorn_config(options, state))
    server.state = state
    _freeze()
    with contextlib.closing(state.service):
        uvloop.run(_run(server, state, sock, parent_pipe))
    if state.tracing is not None:
        state.tracing.close()
    if state.audit_log is not None:
        state.audit_log.close()


async def _run(server: _Server, state: State, sock: socket.socket, parent_pipe: int | None) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_exception)
    reloads: set[asyncio.Task[None]] = set()

    def start_reload() -> None:
        if not reloads:
            task = loop.create_task(reload(state))
            reloads.add(task)
            task.add_done_callback(reloads.discard)

    def parent_gone() -> None:
        loop.remove_reader(parent_pipe or 0)
        server.handle_exit(signal.SIGTERM, None)

    loop.add_signal_handler(signal.SIGHUP, start_reload)
    if parent_pipe is not None:
        loop.add_reader(parent_pipe, parent_gone)
    watchdog = Watchdog(state.service, loop, hang_s=state.times.hang_s)
    names = ", ".join(f"{one.name} ({one.classifier.precision}, {one.classifier.provider})"
                      for one in state.service.bundles.models)  # fmt: skip
    logger.info("serving %s on %s, process %d", names, address(sock, tls=state.tls), os.getpid())
    with contextlib.ExitStack() as stack:
        more = [stack.enter_context(sock.dup()) for _ in range(N_ACCEPTED - 1)]
        await server.serve(sockets=[sock, *more])
    await loop.run_in_executor(None, watchdog.close)


def _log_exception(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    error = context.get("exception")
    logger.error("the event loop met an error (%s)", type(error).__name__)


def address(sock: socket.socket, *, tls: bool) -> str:
    """Give the address of a socket for people.

    Args:
        sock: Bound.
        tls: Whether TLS goes over it.

    Returns:
        Such as `http://127.0.0.1:8000`.
    """
    host, port = sock.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
