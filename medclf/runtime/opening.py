"""From a bundle and a caller's wishes to an open model: which file, on which provider, with how many threads."""

import logging
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from medclf.bundle import Manifest, read_verified
from medclf.errors import BundleError, InputError, OptionError, ProviderError
from medclf.runtime.buckets import Buckets
from medclf.runtime.cores import usable_cores
from medclf.runtime.costs import AllCores, measure_costs
from medclf.runtime.session import Session, cuda_built_in
from medclf.tokenizer import TextEncoder

TOKENIZER = "tokenizer.json"
MODES = ("throughput", "latency", "auto")
PRECISIONS = ("auto", "fp32", "int8", "fp16")
PROVIDERS = ("auto", "cpu", "cuda")

Candidate = tuple[str, str]  # provider and precision

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wishes:
    """What a caller asks for.

    Attributes:
        provider: `auto`, `cpu` or `cuda`.
        precision: `auto`, `fp32`, `int8` or `fp16`.
        mode: `throughput`, `latency` or `auto`.
        threads: Cores to keep busy; None for all that this process may use.
        cuda_memory_mb: Most megabytes of the arena on CUDA; None for no limit.
        cuda_graphs: Whether runs are captured as CUDA graphs.
    """

    provider: str = "cpu"
    precision: str = "auto"
    mode: str = "throughput"
    threads: int | None = None
    cuda_memory_mb: int | None = None
    cuda_graphs: bool = False

    def __post_init__(self) -> None:
        for option, value, allowed in (("mode", self.mode, MODES), ("precision", self.precision, PRECISIONS)):
            if value not in allowed:
                raise OptionError(f"{option} is {value!r}, expected one of {', '.join(allowed)}.")
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"threads is {self.threads}, expected at least 1.")
        if self.cuda_memory_mb is not None and self.provider == "cpu":
            raise OptionError("cuda_memory_mb limits memory on CUDA, and provider is 'cpu'. Leave one of them out.")
        if self.cuda_graphs and self.provider != "cuda":
            raise OptionError(
                f"cuda_graphs needs provider 'cuda', got {self.provider!r}. Give that one, or leave cuda_graphs out."
            )


@dataclass(frozen=True)
class Opened:
    """A model that was opened.

    Attributes:
        session: The model.
        precision: Which model of the bundle it is.
        n_callers: How many batches it should run at a time.
        all_cores: The model once more, on all cores.
    """

    session: Session
    precision: str
    n_callers: int
    all_cores: AllCores | None = None


def open_model(folder: Path, manifest: Manifest, wishes: Wishes) -> Opened:
    """Open the model of a bundle that suits the caller's wishes.

    Args:
        folder: The bundle.
        manifest: Its manifest.
        wishes: Of the caller.

    Returns:
        The model and how to call it.

    Raises:
        OptionError: The bundle has no such precision.
        ProviderError: The provider is unknown or cannot be had, or INT8 was asked for on CUDA, or CUDA graphs were and
            the model's shapes depend on the texts.
    """
    cuda = wishes.provider == "cuda" or (wishes.provider == "auto" and cuda_built_in())
    *others, last = candidates(wishes.provider, wishes.precision, manifest.models, cuda=cuda)
    for candidate in others:
        try:
            return _open(folder, manifest, candidate, wishes)
        except ProviderError as error:
            logger.warning("provider auto: %s Taking the CPU.", error)
    return _open(folder, manifest, last, wishes)


def candidates(provider: str, precision: str, models: Collection[str], *, cuda: bool) -> list[Candidate]:
    """Say what to try, best first.

    Args:
        provider: `auto`, `cpu` or `cuda`.
        precision: `auto`, `fp32`, `int8` or `fp16`.
        models: Precisions that the bundle has.
        cuda: Whether CUDA is worth a try.

    Returns:
        Provider and precision of each attempt.

    Raises:
        ProviderError: The provider is unknown, or INT8 was asked for on CUDA.
    """
    if provider not in PROVIDERS:
        raise ProviderError(f"provider is {provider!r}, expected one of {', '.join(PROVIDERS)}.")
    if provider == "cuda" and precision == "int8":
        raise ProviderError(
            "provider cuda with precision int8: the integer products of the INT8 model have no CUDA kernel and would "
            "run on the CPU. Use precision fp16 or fp32 on CUDA, or provider cpu."
        )
    best_on_cpu = "int8" if "int8" in models else "fp32"
    on_cpu = ("cpu", best_on_cpu if precision == "auto" else precision)
    if provider == "cpu" or precision == "int8" or not cuda:
        return [on_cpu]
    best_on_cuda = "fp16" if "fp16" in models else "fp32"
    on_cuda = ("cuda", best_on_cuda if precision == "auto" else precision)
    return [on_cuda] if provider == "cuda" else [on_cuda, on_cpu]


def read_encoder(folder: Path, manifest: Manifest) -> TextEncoder:
    """Read the tokenizer of a bundle.

    Args:
        folder: The bundle.
        manifest: Its manifest.

    Returns:
        The tokenizer with the bundle's policy for long texts.

    Raises:
        BundleError: It is damaged, or of a kind that this version does not read.
    """
    data = read_verified(folder, manifest, TOKENIZER)
    try:
        return TextEncoder(data.decode("utf-8"), max_length=manifest.max_length, long_text=manifest.long_text)
    except (InputError, UnicodeDecodeError) as error:
        raise BundleError(f"{folder / TOKENIZER}: {error} Update tokenizers, or export again.") from error


def read_model(folder: Path, manifest: Manifest, precision: str) -> tuple[bytes, dict[str, bytes]]:
    """Read a model of a bundle.

    Args:
        folder: The bundle.
        manifest: Its manifest.
        precision: `fp32`, `int8` or `fp16`.

    Returns:
        Contents of the ONNX file; and name -> contents of each file of weights beside it.

    Raises:
        IntegrityError: A file is missing, or is not the one that was exported.
        OptionError: The bundle has no such model.
    """
    file, *data_files = manifest.model(precision).files
    data = {PurePosixPath(name).name: read_verified(folder, manifest, name) for name in data_files}
    return read_verified(folder, manifest, file), data


def _open(folder: Path, manifest: Manifest, candidate: Candidate, wishes: Wishes) -> Opened:
    provider, precision = candidate
    cores = wishes.threads or usable_cores()
    model = manifest.model(precision)
    if wishes.cuda_graphs and not model.static_shapes:
        raise ProviderError(
            f"cuda_graphs: {folder / model.file} has shapes that depend on the texts, as it removes padding, or was "
            "exported before medclf recorded it; a CUDA graph replays fixed shapes. Export the checkpoint again with "
            "medclf-export --backend traced, which keeps padding, or leave cuda_graphs out."
        )
    contents, data = read_model(folder, manifest, precision)

    def session(threads: int) -> Session:
        return Session(
            contents,
            data=data,
            provider=provider,
            threads=threads,
            cuda_memory_mb=wishes.cuda_memory_mb,
            buckets=Buckets(manifest.max_length) if wishes.cuda_graphs else None,
            name=str(folder / model.file),
        )

    if wishes.mode == "latency" or provider == "cuda" or cores == 1:  # one caller keeps a GPU busy
        return Opened(session(cores), precision, 1)
    one = session(1)
    if wishes.mode == "throughput":
        return Opened(one, precision, cores)
    every = session(cores)
    cost_of_one, cost = measure_costs(one, every, max_length=manifest.max_length)
    logger.debug("%s: on one core %s, on %d cores %s", folder / model.file, cost_of_one, cores, cost)
    return Opened(one, precision, cores, AllCores(every, cost, cost_of_one, cores))
