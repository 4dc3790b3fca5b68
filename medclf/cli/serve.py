"""`medclf-serve`: bundles behind HTTP."""

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medclf.cli.app import console, run
from medclf.errors import OptionError, OutputError

if TYPE_CHECKING:
    from medclf.serve.options import ServeOptions


def serve(
    bundle: Annotated[
        list[str] | None, typer.Option(help="A bundle's folder, or name=folder; may be repeated. Default: bundle.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every one.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 for one that is free.", min=0, max=65535)] = 8000,
    workers: Annotated[str, typer.Option(help="Batches that run at a time; auto: one on each core.")] = "auto",
    provider: Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA where it can be had.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, int8, fp16, or auto: INT8 on a CPU if it is there.")] = "auto",
    cuda_memory_mb: Annotated[int | None, typer.Option(help="Most megabytes of the arena on CUDA.", min=1)] = None,
    cuda_graphs: Annotated[
        bool, typer.Option("--cuda-graphs", help="Capture runs as CUDA graphs, for a bundle with padding in its graph.")
    ] = False,
    api_key_file: Annotated[Path | None, typer.Option(help="Names and hashes of keys. Default: no key needed.")] = None,
    new_api_key: Annotated[
        str | None, typer.Option(help="Make a key of this name, add its hash to --api-key-file, print it, and end.")
    ] = None,
    max_queue_tokens: Annotated[int, typer.Option(help="Most tokens that wait; more is refused with 429.")] = 65_536,
    max_body_mb: Annotated[float, typer.Option(help="Most megabytes of a request.")] = 4.0,
    max_texts: Annotated[int, typer.Option(help="Most texts of a request.")] = 512,
    request_timeout: Annotated[float, typer.Option(help="Seconds for a request without X-Request-Timeout.")] = 60.0,
    hang_timeout: Annotated[float, typer.Option(help="Seconds after which a batch hangs; restarts.")] = 60.0,
    drain_timeout: Annotated[float, typer.Option(help="Seconds for requests under way after SIGTERM.")] = 30.0,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain, PEM. Default: plain HTTP.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Private key of the certificate, PEM.")] = None,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="Origin of web pages that may ask, such as https://intranet.example.")
    ] = None,
    audit_log: Annotated[Path | None, typer.Option(help="File that records who asked how many rows, when.")] = None,
    verify_audit_log: Annotated[Path | None, typer.Option(help="Check the chain of an audit log, and end.")] = None,
    access_log: Annotated[bool, typer.Option("--access-log", help="One line in the log for each request.")] = False,
    otel: Annotated[bool, typer.Option("--otel", help="Send spans to OTEL_EXPORTER_OTLP_ENDPOINT.")] = False,
) -> None:
    """Serve bundles; SIGHUP reads them again, SIGTERM answers what was accepted and ends."""
    if verify_audit_log is not None:
        _verify(verify_audit_log)
        return
    if new_api_key is not None:
        _new_key(api_key_file, new_api_key)
        return
    from medclf.serve.admission import Limits
    from medclf.serve.options import ServeOptions
    from medclf.serve.state import Times

    options = ServeOptions(
        bundles=tuple(bundle or ["bundle"]),
        provider=provider,
        precision=precision,
        workers=_workers(workers),
        cuda_memory_mb=cuda_memory_mb,
        cuda_graphs=cuda_graphs,
        limits=Limits(
            max_queue_tokens=max_queue_tokens, max_body_bytes=int(max_body_mb * 1024 * 1024), max_texts=max_texts
        ),
        times=Times(request_s=request_timeout, hang_s=hang_timeout, drain_s=drain_timeout),
        api_key_file=api_key_file,
        audit_log=audit_log,
        tls_cert=tls_cert,
        tls_key=tls_key,
        origins=tuple(cors_origin or ()),
        access_log=access_log,
        otel=otel,
    )
    _serve(options, host, port)


def _serve(options: "ServeOptions", host: str, port: int) -> None:
    """Be the server process if a supervisor started this one, else be the supervisor."""
    from medclf.extras import require
    from medclf.serve import supervisor
    from medclf.serve.logs import show_logs

    for module in ("fastapi", "uvicorn", "uvloop", "httptools", "prometheus_client"):
        require(module, extra="serve")
    show_logs()
    if supervisor.SOCKET in os.environ:
        from medclf.serve.process import serve as serve_process

        sock = socket.socket(fileno=int(os.environ[supervisor.SOCKET]))
        serve_process(
            options,
            sock,
            parent_pipe=int(os.environ[supervisor.PIPE]),
            restarts=int(os.environ[supervisor.RESTARTS]),
        )
        return
    try:
        sock = supervisor.bind(host, port)
    except OSError as error:
        raise OptionError(f"--host {host} --port {port}: cannot listen there: {error.strerror}.") from None
    with sock:
        console.print(f"listening on port {sock.getsockname()[1]}")
        sys.exit(supervisor.Supervisor([sys.executable, "-m", "medclf.cli.serve", *sys.argv[1:]], sock).run())


def _workers(given: str) -> int | None:
    if given == "auto":
        return None
    if given.isdecimal() and int(given) > 0:
        return int(given)
    raise OptionError(f"--workers is {given!r}, expected auto or a number of at least 1.")


def _new_key(path: Path | None, name: str) -> None:
    from medclf.serve.keys import add_key

    if path is None:
        raise OptionError("--new-api-key: name the file that its hash goes into with --api-key-file.")
    try:
        typer.echo(add_key(path, name))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from error
    console.print(f"added {name} to {path}; the key is shown only here.")


def _verify(path: Path) -> None:
    from medclf.serve.audit_log import verify_audit_log

    n_lines, last = verify_audit_log(path)
    console.print(f"{path}: {n_lines:,} lines, an unbroken chain; last hash {last}", soft_wrap=True)


def main() -> None:
    """Run the command."""
    run(serve)


if __name__ == "__main__":
    main()
