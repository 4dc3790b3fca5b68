"""What `medclf-serve` can be told."""

from dataclasses import dataclass, field
from pathlib import Path

from medclf.errors import OptionError
from medclf.serve.admission import Limits
from medclf.serve.state import Times


@dataclass(frozen=True)
class ServeOptions:
    """Options of a server.

    Attributes:
        bundles: `path` or `name=path`; the first is the default.
        provider: `cpu`, `cuda` or `auto`.
        precision: `fp32`, `int8`, `fp16` or `auto`.
        workers: Batches that run at a time; None for one on each core.
        cuda_memory_mb: Most megabytes of the arena on CUDA; None for all that the GPU has.
        cuda_graphs: Whether runs are captured as CUDA graphs.
        limits: What is taken on.
        times: How long things may take.
        api_key_file: Who may ask; None for everybody.
        audit_log: Where requests are recorded; None for nowhere.
        tls_cert: Certificate chain, PEM; None for plain HTTP.
        tls_key: Its private key, PEM.
        origins: Web pages of other origins that may ask.
        access_log: Whether each request makes a line in the log.
        otel: Whether spans are sent.
    """

    bundles: tuple[str, ...]
    provider: str = "auto"
    precision: str = "auto"
    workers: int | None = None
    cuda_memory_mb: int | None = None
    cuda_graphs: bool = False
    limits: Limits = field(default_factory=Limits)
    times: Times = field(default_factory=Times)
    api_key_file: Path | None = None
    audit_log: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    origins: tuple[str, ...] = ()
    access_log: bool = False
    otel: bool = False

    def __post_init__(self) -> None:
        for name in ("max_queue_tokens", "max_body_bytes", "max_texts"):
            if getattr(self.limits, name) < 1:
                raise OptionError(f"{name} is {getattr(self.limits, name)}, expected at least 1.")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise OptionError("--tls-cert and --tls-key belong together: give both or none.")
        if "*" in self.origins:
            raise OptionError("--cors-origin '*' would let every web page ask: name the origins.")
