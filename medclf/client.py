"""A client for medclf-serve, on the standard library alone.

from medclf.client import Client

client = Client("http://127.0.0.1:8000", api_key="...")
for answer in client.predict(["Chest pain on exertion.", "Tonic-clonic seizures."]):
    print(answer["label"], answer.get("probability"))
"""

import http.client
import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from medclf.errors import OptionError, RequestError

AGAIN = (0, 429, 503)  # no answer, full, not ready: nothing was done, so another try is safe
MAX_WAIT_S = 30.0


class Client:
    """Asks one server; safe to share between threads."""

    def __init__(
        self, url: str, *, api_key: str | None = None, timeout_s: float = 60.0, n_tries: int = 5, max_texts: int = 64
    ) -> None:
        """Name a server; nothing is asked yet.

        Args:
            url: Its address, such as `http://127.0.0.1:8000`.
            api_key: A key, where it wants one.
            timeout_s: Seconds for one request.
            n_tries: How often a request is sent that got no answer, 429 or 503, at most.
            max_texts: Most texts of one request; longer lists are sent in parts.

        Raises:
            OptionError: The address is not of HTTP, or a number is below 1.
        """
        if not url.startswith(("http://", "https://")):
            raise OptionError("url: expected an address that begins with http:// or https://.")
        if n_tries < 1 or max_texts < 1:
            raise OptionError("n_tries and max_texts: expected at least 1.")
        self._url = url.rstrip("/")
        self._headers = {"content-type": "application/json"}
        if api_key is not None:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._timeout_s, self._n_tries, self._max_texts = timeout_s, n_tries, max_texts

    def predict(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        model: str | None = None,
        top_k: int | None = None,
        on_error: str = "fail",
    ) -> list[dict[str, Any]]:
        """Classify texts.

        Args:
            texts: Any number of texts.
            pairs: The second text of each, for a model that was trained on pairs.
            model: Name of a bundle; None for the server's first.
            top_k: How many probabilities of each text; None for all.
            on_error: `fail` refuses the texts of a request when one has a fault, `skip` leaves that one without an
                answer.

        Returns:
            The results of `POST /v1/predict`, one a text, in order.

        Raises:
            OptionError: Texts are one string, or texts and pairs differ in number.
            RequestError: The server refused, or did not answer however often it was asked.
        """
        if isinstance(texts, str) or (pairs is not None and len(pairs) != len(texts)):
            raise OptionError("texts: expected a list, and as many pairs as texts.")
        found: list[dict[str, Any]] = []
        for start in range(0, len(texts), self._max_texts):
            part = slice(start, start + self._max_texts)
            body: dict[str, Any] = {"texts": list(texts[part]), "on_error": on_error}
            given = {"pairs": None if pairs is None else list(pairs[part]), "model": model, "top_k": top_k}
            body |= {name: value for name, value in given.items() if value is not None}
            found += self._ask("/v1/predict", body)["results"]
        return found

    def info(self) -> dict[str, Any]:
        """Tell what is served.

        Returns:
            The answer of `GET /v1/info`.

        Raises:
            RequestError: The server refused, or did not answer however often it was asked.
        """
        return self._ask("/v1/info")

    def ready(self) -> bool:
        """Say whether the server answers requests now; asked once."""
        try:
            self._once("/health/ready", None)
        except RequestError:
            return False
        return True

    def _ask(self, path: str, body: object = None) -> dict[str, Any]:
        content = None if body is None else json.dumps(body).encode()
        for n_before in range(self._n_tries):
            try:
                return self._once(path, content)
            except RequestError as error:
                if error.status not in AGAIN or n_before + 1 == self._n_tries:
                    raise
                wait = max(error.retry_after_s or 0.0, 0.1 * 2**n_before)
                time.sleep(min(MAX_WAIT_S, wait * random.uniform(1.0, 1.5)))  # not all clients at the same time again
        raise AssertionError  # the last try returns or raises

    def _once(self, path: str, content: bytes | None) -> dict[str, Any]:
        request = urllib.request.Request(self._url + path, content, self._headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_s) as reply:
                answer: dict[str, Any] = json.loads(reply.read())
                return answer
        except urllib.error.HTTPError as error:
            with error:
                raise _refusal(error) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise RequestError(
                f"{self._url} did not answer ({type(error).__name__}). Is the address right, and does it run?",
                status=0,
                error_type="NoAnswer",
            ) from None


def _refusal(error: urllib.error.HTTPError) -> RequestError:
    try:
        told = json.loads(error.read())
        message, kind = str(told["error"]), str(told["error_type"])
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        message, kind = "it is not medclf-serve that answers.", "Unknown"
    after = error.headers.get("retry-after", "")
    return RequestError(
        f"{error.code}: {message}",
        status=error.code,
        error_type=kind,
        retry_after_s=float(after) if after.isdecimal() else None,
    )
