"""What a row takes, on one core and on all: how long a table does, and how many cores a time needs. Arithmetic."""

import math
import statistics
from dataclasses import dataclass

from medclf.errors import OptionError

HOUR_S = 3600


@dataclass(frozen=True)
class Speed:
    """What one way to classify takes on this machine.

    Attributes:
        name: Of the way.
        batch_core_s: Seconds of a core for each row, tokenizing included: one entry a round.
        read_s: Seconds for reading a row, beside the model.
        write_s: Seconds for writing a row, in which no model runs.
        start_s: Seconds from the start of a process to its first row.
        n_cores: Cores that were busy.
    """

    name: str
    batch_core_s: tuple[float, ...]
    read_s: float
    write_s: float
    start_s: float
    n_cores: int

    def row_s(self, batch_core_s: float) -> float:
        """Give the seconds of a row, with all cores at work.

        Args:
            batch_core_s: Of a row, on one core.

        Returns:
            Seconds: reading takes its part of the cores, and writing waits for all of them.
        """
        return (batch_core_s + self.read_s) / self.n_cores + self.write_s

    def seconds_of(self, rows: float) -> tuple[float, float, float]:
        """Give the time of a table on this machine.

        Args:
            rows: Its rows.

        Returns:
            Seconds by the median of the rounds, by the quickest and by the slowest.
        """
        rounds = (statistics.median(self.batch_core_s), min(self.batch_core_s), max(self.batch_core_s))
        median, quickest, slowest = (self.start_s + rows * self.row_s(one) for one in rounds)
        return median, quickest, slowest

    def cores_for(self, rows: float, seconds: float) -> int:
        """Give the cores that a time needs, in machines like this one.

        Args:
            rows: Of the table.
            seconds: In which it should be done.

        Returns:
            Cores, by the median of the rounds.

        Raises:
            OptionError: A process takes longer to start.
        """
        if seconds <= self.start_s:
            raise OptionError(
                f"target_hours is {seconds / HOUR_S:g}, but {self.name} takes {self.start_s:.1f} s to start here. "
                "Allow more time."
            )
        row_s = self.row_s(statistics.median(self.batch_core_s)) * self.n_cores
        return max(1, math.ceil(rows * row_s / (seconds - self.start_s)))
