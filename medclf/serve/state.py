"""What the parts of one server share."""

from dataclasses import dataclass
from pathlib import Path

from medclf.errors import OptionError
from medclf.serve.audit_log import AuditLog
from medclf.serve.keys import Keys
from medclf.serve.service import Service
from medclf.serve.tracing import Tracing


@dataclass(frozen=True)
class Times:
    """How long things may take, in seconds.

    Attributes:
        body_s: All of a request has to come within it.
        request_s: Of a request that says nothing; `X-Request-Timeout` asks for another.
        max_request_s: Most that a request may ask for.
        hang_s: A batch that runs for longer hangs.
        drain_s: Requests under way may take it after SIGTERM.
    """

    body_s: float = 10.0
    request_s: float = 60.0
    max_request_s: float = 600.0
    hang_s: float = 60.0
    drain_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("body_s", "request_s", "max_request_s", "hang_s", "drain_s"):
            if not getattr(self, name) > 0:
                raise OptionError(f"{name} is {getattr(self, name)}, expected more than 0 seconds.")


@dataclass
class State:
    """The parts of a server.

    Attributes:
        service: What answers.
        times: How long things may take.
        keys: Who may ask; None for everybody.
        keys_file: Where they were read.
        audit_log: Where requests are recorded; None for nowhere.
        tracing: Where spans go; None for nowhere.
        access_log: Whether each request makes a line in the log.
        tls: Whether answers go through TLS.
        origins: Web pages of other origins that may ask.
        n_to_begin: Requests that have come, and whose turn has not come yet.
        draining: Whether the server is about to end.
        audit_failed: Whether the last record could not be written.
    """

    service: Service
    times: Times
    keys: Keys | None = None
    keys_file: Path | None = None
    audit_log: AuditLog | None = None
    tracing: Tracing | None = None
    access_log: bool = False
    tls: bool = False
    origins: tuple[str, ...] = ()
    n_to_begin: int = 0
    draining: bool = False
    audit_failed: bool = False

    def why_not_ready(self) -> str:
        """Say why requests should go elsewhere; "" if they should not."""
        if self.draining:
            return "the server is about to end."
        if self.audit_failed:
            return "the audit log cannot be written."
        return self.service.stopped
