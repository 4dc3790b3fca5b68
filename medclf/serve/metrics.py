"""What Prometheus reads: counts, sizes and times; never a text, and no label that a request could choose freely."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from medclf.extras import require
from medclf.serve.callers import Done

if TYPE_CHECKING:
    from medclf.serve.bundles import Model
    from medclf.serve.service import Timings

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TOKENS = (8, 16, 32, 64, 128, 256, 384, 512, 1024, 4096, 16384, 65536)
PADDING = (1.0, 1.01, 1.02, 1.05, 1.1, 1.15, 1.2, 1.25)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """A registry of its own, so that several servers may live in one process."""

    def __init__(self) -> None:
        """Name every metric.

        Raises:
            ExtraError: prometheus-client is not installed.
        """
        prometheus = require("prometheus_client", extra="serve")
        self._generate = prometheus.generate_latest
        self.content_type: str = prometheus.CONTENT_TYPE_LATEST
        self.registry = registry = prometheus.CollectorRegistry()

        def make(kind: str, name: str, text: str, labels: Sequence[str] = (), buckets: Sequence[float] = ()):  # type: ignore[no-untyped-def]
            more = {"buckets": buckets} if buckets else {}
            return getattr(prometheus, kind)(f"medclf_{name}", text, labels, registry=registry, **more)

        self._requests = make("Counter", "requests_total", "Answers by route and HTTP status.", ["route", "status"])
        self._seconds = make(
            "Histogram", "request_seconds", "From the head of a request to the end of its answer.", ["route"], SECONDS
        )
        self._stage = make(
            "Histogram",
            "stage_seconds",
            "Stages of an answered request: read, tokenize, queue, run.",
            ["stage"],
            SECONDS,
        )
        self._texts = make("Counter", "texts_total", "Texts that were answered.", ["model"])
        self._truncated = make("Counter", "truncated_texts_total", "Texts that lost their end.", ["model"])
        self._predictions = make("Counter", "predictions_total", "Labels that were given.", ["model", "label"])
        self._refused = make("Counter", "refused_total", "Requests that were not answered, by reason.", ["reason"])
        self._batch_tokens = make("Histogram", "batch_tokens", "Real tokens of a batch.", (), TOKENS)
        self._batch_texts = make("Histogram", "batch_texts", "Texts of a batch.", (), TEXTS)
        self._batch_seconds = make("Histogram", "batch_seconds", "Run of a batch.", (), SECONDS)
        self._padding = make("Histogram", "batch_padded_ratio", "Padded over real tokens of a batch.", (), PADDING)
        self._tokens = make("Counter", "tokens_total", "Real tokens that ran.")
        self._padded = make("Counter", "padded_tokens_total", "Tokens that ran, padding included.")
        self._failed = make("Counter", "failed_texts_total", "Texts that the model could not run.")
        self._reloads = make(
            "Counter", "reloads_total", "Bundles that were replaced, or were not.", ["model", "result"]
        )
        self._info = make(
            "Gauge", "model_info", "1 for what is served.", ["model", "precision", "provider", "labels_sha256"]
        )
        self._ready = make("Gauge", "ready", "Whether requests are answered.")
        self._restarts = make("Gauge", "restarts", "How often the server process was started again.")
        self._queue_tokens = make("Gauge", "queue_tokens", "Tokens that wait.")
        self._queue_texts = make("Gauge", "queue_texts", "Texts that wait.")

    def watch(self, *, queue_tokens: Callable[[], int], queue_texts: Callable[[], int]) -> None:
        """Read the queue when Prometheus asks.

        Args:
            queue_tokens: Gives the tokens that wait.
            queue_texts: Gives the texts that wait.
        """
        self._queue_tokens.set_function(queue_tokens)
        self._queue_texts.set_function(queue_texts)

    def watch_ready(self, ready: Callable[[], bool], *, restarts: int) -> None:
        """Read readiness when Prometheus asks.

        Args:
            ready: Says whether requests are answered.
            restarts: How often this process was started again.
        """
        self._ready.set_function(lambda: float(ready()))
        self._restarts.set(restarts)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answer.

        Args:
            route: The route's own form, such as `/v2/models/{name}/infer`; never the path that was asked for.
            status: The HTTP status.
            seconds: How long it took.
        """
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, reason: str) -> None:
        """Count a request that was not answered.

        Args:
            reason: The `error_type` of the error.
        """
        self._refused.labels(reason).inc()

    def ran(self, done: Done) -> None:
        """Count a batch.

        Args:
            done: The batch.
        """
        lengths = [text.n_tokens for text in done.texts]
        real, padded = sum(lengths), max(lengths) * len(lengths)
        self._batch_tokens.observe(real)
        self._batch_texts.observe(len(lengths))
        self._batch_seconds.observe(done.ended_s - done.started_s)
        self._padding.observe(padded / real)
        self._tokens.inc(real)
        self._padded.inc(padded)
        self._failed.inc(sum(1 for logits in done.logits if logits is None))

    def answered(self, model: str, timings: "Timings", truncated: Sequence[bool]) -> None:
        """Count the texts of an answered request, and its stages.

        Args:
            model: Name of the bundle.
            timings: When it reached which stage.
            truncated: Whether each text lost its end.
        """
        self._texts.labels(model).inc(timings.n_texts)
        self._truncated.labels(model).inc(sum(truncated))
        for stage, seconds in timings.stages().items():
            self._stage.labels(stage).observe(seconds)

    def predicted(self, model: str, names: Iterable[str]) -> None:
        """Count labels that were given.

        Args:
            model: Name of the bundle.
            names: Labels.
        """
        for name in names:
            self._predictions.labels(model, name).inc()

    def reloaded(self, model: str, *, taken: bool) -> None:
        """Count an attempt to replace a bundle.

        Args:
            model: Name of the bundle.
            taken: Whether it was replaced.
        """
        self._reloads.labels(model, "taken" if taken else "refused").inc()

    def serving(self, models: "Iterable[Model]") -> None:
        """Tell what is served.

        Args:
            models: Every model.
        """
        self._info.clear()
        for model in models:
            one = model.classifier
            self._info.labels(model.name, one.precision, one.provider, one.labels.sha256).set(1)

    def text(self) -> bytes:
        """Give all of it in Prometheus' text format."""
        return bytes(self._generate(self.registry))
