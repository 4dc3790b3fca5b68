"""INT8 that keeps its budget: every linear layer if that will do, else the most of them that will, certified."""

import logging
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medclf.errors import GateError
from medclf.labels import Floats, Labels
from medclf_export import quality
from medclf_export.drafts import Draft, Drafts
from medclf_export.held_out import HeldOut
from medclf_export.quality import Budget
from medclf_export.search import Found, Problem, expected_agreement, search

log = logging.getLogger(__name__)

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Quantizer:
    """Finds and certifies the INT8 model of a checkpoint.

    Attributes:
        drafts: Makes graphs.
        fp32: The fp32 model.
        rows: Held-out rows.
        logits: Of fp32 on them.
        labels: The label contract.
        budget: What INT8 may cost and must gain.
    """

    drafts: Drafts
    fp32: Draft
    rows: HeldOut
    logits: Floats
    labels: Labels
    budget: Budget

    def make(self, int8: Draft) -> tuple[Draft, Floats]:
        """Certify a model whose linear layers are all INT8, or search one with fewer of them.

        Args:
            int8: The model.

        Returns:
            The model that passed, its certificate in `gates`; and its logits on the held-out rows.

        Raises:
            GateError: None keeps the budget.
        """
        logits, certified = int8.logits(self.rows.encoded), np.arange(len(self.rows))
        found = Found((), {})
        if self._faults(logits):
            choosing, certified = self._halves()
            int8.close()
            found = self._search(choosing.tolist())
            int8 = self.drafts.make("int8", int8=frozenset(self.drafts.route.linears) - set(found.fp32))
            logits = int8.logits(self.rows.encoded)
        part = certified.tolist()
        certificate = quality.certify(self.rows.select(part), self.logits[part], logits[part], self.labels, self.budget)
        int8.gates["quality"] = {
            **certificate,
            "fp32_linears": list(found.fp32),
            "gains": found.gains,
            "same_rows_chose": bool(found.fp32) and len(part) == len(self.rows),
        }
        runs = (lambda rows: self.fp32.logits(rows.encoded)), (lambda rows: int8.logits(rows.encoded))
        int8.gates["speed"] = quality.check_speed(self.rows, *runs, self.budget)
        return int8, logits

    def _halves(self) -> tuple[Indices, Indices]:
        """Rows that choose the layers, and rows that certify: others, where there are enough, as a choice flatters."""
        rows = np.random.default_rng(0).permutation(len(self.rows))
        if len(rows) < 2 * self.budget.min_rows:
            log.warning(
                "%d held-out rows are too few to choose layers on one half and certify on the other (%d are needed): "
                "the same rows do both, and the certificate says so.", len(rows), 2 * self.budget.min_rows
            )  # fmt: skip
            return rows, rows
        choosing, certified = np.array_split(rows, 2)
        return choosing, certified

    def _faults(self, logits: Floats) -> list[str]:
        return quality.outside(self.rows, self.logits, logits, self.labels, self.budget)

    def _search(self, choosing: Sequence[int]) -> Found:
        rows, fp32 = self.rows.select(choosing), self.logits[list(choosing)]

        aim = (100 + self.budget.min_agreement) / 2

        def passes(logits: Floats) -> bool:
            if quality.outside(rows, fp32, logits, self.labels, self.budget):
                return False
            # Which labels change is chance in part: of all rows only half of what is allowed should be expected to.
            ran = (logits != fp32).any(axis=1)
            error = float(np.sqrt(np.square(logits - fp32)[ran].mean())) if ran.any() else 0.0
            return not error or 100 * expected_agreement(self.labels, self.logits, error) >= aim

        found = search(Problem(self.drafts.route.linears, self._run, rows, fp32, passes, self.labels))
        if found is None:
            raise GateError(
                f"INT8 is outside its budget on {len(rows)} held-out rows even with half of its linear layers in fp32. "
                "Export without --quantize, or widen --min-agreement or --max-f1-drop knowingly."
            )
        log.info("%d of %d linear layers stay fp32: %s", len(found.fp32), len(found.gains), ", ".join(found.fp32))
        return found

    def _run(self, int8: Set[str], rows: HeldOut) -> Floats:
        draft = self.drafts.make("int8", int8=int8)
        try:
            return draft.logits(rows.encoded)
        finally:
            draft.close()
