"""The progress bar of long predictions, and what their summaries share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from medclf.cli.app import console

if TYPE_CHECKING:
    from medclf.runtime.counts import Counts


@contextmanager
def bar_with_notes() -> Iterator[Progress]:
    """Show a bar, where there is a terminal; when the run is stopped, print what its error says of going on.

    Yields:
        The bar, without a task.
    """
    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(
        *columns,
        console=console,
        disable=not console.is_terminal,
        speed_estimate_period=3600.0,  # a window or a partition may take longer than the 30 s that rich looks back
    ) as bar:
        try:
            yield bar
        except BaseException as error:
            bar.stop()
            for note in getattr(error, "__notes__", ()):  # what is committed, and how to go on
                console.print(note, soft_wrap=True, markup=False)
            raise


def not_labelled(counts: "Counts", *, quarantine: bool) -> str:
    """Say what was cut and which rows have no label.

    Args:
        counts: Of the run.
        quarantine: Whether rows could be left out.

    Returns:
        A part of a sentence.
    """
    left_out = f", {counts.n_quarantined:,} quarantined" if quarantine else ""
    left_out += f", {counts.n_abstained:,} left to a person" if counts.n_abstained else ""
    return (
        f"{counts.n_truncated:,} truncated ({counts.n_cut_tokens:,} tokens not seen), "
        f"{counts.n_skipped:,} skipped{left_out}"
    )
