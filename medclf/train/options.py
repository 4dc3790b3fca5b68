"""What a training run is told: one frozen dataclass, one field an option of `medclf-train`, checked when it is made."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from medclf.bundle import TextColumns
from medclf.errors import OptionError
from medclf.long_text import LongText

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]
Loss = Literal["cross-entropy", "weighted", "focal", "logit-adjusted"]
MODEL = "bert-base-uncased"
TRACKERS = ("tensorboard", "mlflow")
SCRATCH = "scratch"  # as a model: a small BERT without pretrained weights
VALIDATION_SIZE = 0.1  # of the whole table


@dataclass(frozen=True)
class TrainOptions:
    """Options of a training run.

    Attributes:
        data: Table of labelled texts.
        text_column: Columns that make the text, joined with a space in this order.
        text_pair_column: Columns of the second text, empty for single texts.
        label_column: Column of the labels; several are columns of 0 and 1, each named as its label.
        multi_label: Split the strings of the label column at `;`, as a text may have any number of labels; lists, and
            columns of 0 and 1, need no such word.
        group_column: Column of what a text belongs to, such as its patient; a group is in one part alone.
        allow_leakage: Go on where `eval_data` or `test_data` share texts or groups with another part.
        eval_data: Table of the validation part; None takes a tenth of `data`.
        test_data: Table of the test part; None takes `test_size` of `data`.
        test_size: Share of the rows of `data` that is kept for the test, 0 to 0.8.
        streaming: Whether `data`, a Parquet file or a folder of them, stays on disk but for a buffer of rows.
        shuffle_buffer: Rows of that buffer, in which they are shuffled and sorted by length.
        model: Hub id or folder of a BERT-like encoder, or `scratch` for a small BERT without pretrained weights.
        teacher: Checkpoint of a larger model, whose answers the model learns beside the labels; None for none.
        layers: Layers of a model that is cut out of the teacher, in place of `model`; None for the teacher's.
        hidden_size: Width of such a model; None for the teacher's.
        alpha: Weight of the labels in the loss, 0 to 1; the rest is the teacher's. None for a half.
        teacher_temperature: Divisor of both models' logits where they are compared; None for 2.
        unlabelled: Table of texts on which only the teacher's answers are learned.
        output: Checkpoint folder to write.
        epochs: Most passes over the training part.
        batch_size: Texts in a step, on each device.
        learning_rate: Highest learning rate, reached after the warm-up; None takes one that fits the model's width.
        head_learning_rate: That of the head and the pooler; None for `learning_rate`.
        layer_decay: Learning rate of each layer of the encoder over that of the layer above it.
        loss: `cross-entropy`; or `weighted`, `focal` or `logit-adjusted` for classes of very different size.
        focal_gamma: How much texts that are right already lose of their weight, with `focal`; None for 2.
        tau: Share of the classes' logarithmic priors that is added to the logits in training, with `logit-adjusted`;
            None for 1.
        max_length: Most tokens of one row of the model, special tokens included.
        long_text: What becomes of a text that has more: `truncate` keeps its beginning, `head_tail` its beginning and
            its end, `windows` cuts it into windows, each of which is a row of training with the labels of the text.
        stride: Tokens from the start of a window to that of the next; None for three quarters of a window.
        pooling: How the answers of windows become that of a text: `mean`, `max` or, with several labels a text,
            `noisy-or`; None for `mean`.
        max_windows: Most windows of a text; None for 16.
        weight_decay: AdamW's decay; biases and LayerNorm have none.
        warmup_ratio: Share of all steps in which the learning rate rises; after it, it falls to 0 in a line.
        patience: Epochs without a better validation macro-F1 after which training stops; 0 never stops early.
        max_grad_norm: Gradients are clipped to this norm.
        gradient_accumulation: Batches whose gradients are summed for one step.
        lora: Rank of adapters, which are trained in place of the encoder's weights; None trains these.
        seeds: Runs with one seed after the other; the best one is the output.
        search: Trials of a search for the best options; None for no search.
        log_to: `tensorboard`, `mlflow`, which are told numbers and names of options alone.
        log_dir: Folder of TensorBoard's files.
        seed: Of the split, the weights of the head, the order of the batches and dropout.
        device: `cuda` or `cpu`; `auto` takes a GPU where there is one.
        precision: Of the numbers that are multiplied, `fp32`, `bf16` or `fp16`; the weights are float32 in any case.
            `auto` takes the smaller ones where the device multiplies them faster.
        encoding: Character encoding of the tables.
        resume: Go on from where the same run was stopped.
        overwrite: Replace an output that exists; without `resume`, drop a run that was stopped.
        stop_after: Save and stop after this many steps of the whole run; None runs to the end.
    """

    data: Path
    text_column: tuple[str, ...] = ("text",)
    text_pair_column: tuple[str, ...] = ()
    label_column: tuple[str, ...] = ("label",)
    multi_label: bool = False
    group_column: str | None = None
    allow_leakage: bool = False
    eval_data: Path | None = None
    test_data: Path | None = None
    test_size: float = 0.2
    streaming: bool = False
    shuffle_buffer: int = 20_000
    model: str = MODEL
    teacher: Path | None = None
    layers: int | None = None
    hidden_size: int | None = None
    alpha: float | None = None
    teacher_temperature: float | None = None
    unlabelled: Path | None = None
    output: Path = Path("checkpoint")
    epochs: int = 3
    batch_size: int = 16
    learning_rate: float | None = None
    head_learning_rate: float | None = None
    layer_decay: float = 1.0
    loss: Loss = "cross-entropy"
    focal_gamma: float | None = None
    tau: float | None = None
    max_length: int = 256
    long_text: str = "truncate"
    stride: int | None = None
    pooling: str | None = None
    max_windows: int | None = None
    weight_decay: float = 0.01
    warmup_ratio: float = 0.1
    patience: int = 2
    max_grad_norm: float = 1.0
    gradient_accumulation: int = 1
    lora: int | None = None
    seeds: int = 1
    search: int | None = None
    log_to: tuple[str, ...] = ()
    log_dir: Path = Path("runs")
    seed: int = 42
    device: Device = "auto"
    precision: Precision = "auto"
    encoding: str = "utf-8"
    resume: bool = False
    overwrite: bool = False
    stop_after: int | None = None

    def __post_init__(self) -> None:
        ranges = (
            ("test_size", 0 < self.test_size <= 0.8, "over 0, at most 0.8"),
            ("epochs", 1 <= self.epochs <= 10_000, "1 to 10,000"),
            ("batch_size", 1 <= self.batch_size <= 65_536, "1 to 65,536"),
            ("learning_rate", self.learning_rate is None or 0 < self.learning_rate <= 1, "over 0, at most 1"),
            (
                "head_learning_rate",
                self.head_learning_rate is None or 0 < self.head_learning_rate <= 1,
                "over 0, at most 1",
            ),
            ("layer_decay", 0 < self.layer_decay <= 1, "over 0, at most 1"),
            ("loss", self.loss in get_args(Loss), "one of " + ", ".join(get_args(Loss))),
            ("focal_gamma", self.focal_gamma is None or 0 <= self.focal_gamma <= 10, "0 to 10"),
            ("tau", self.tau is None or 0 < self.tau <= 10, "over 0, at most 10"),
            ("layers", self.layers is None or self.layers >= 1, "1 or more"),
            ("hidden_size", self.hidden_size is None or self.hidden_size >= 1, "1 or more"),
            ("alpha", self.alpha is None or 0 <= self.alpha <= 1, "0 to 1"),
            (
                "teacher_temperature",
                self.teacher_temperature is None or 0 < self.teacher_temperature <= 100,
                "over 0, at most 100",
            ),
            ("lora", self.lora is None or 1 <= self.lora <= 1024, "1 to 1,024"),
            ("seeds", 1 <= self.seeds <= 100, "1 to 100"),
            ("search", self.search is None or 1 <= self.search <= 10_000, "1 to 10,000"),
            ("log_to", set(self.log_to) <= set(TRACKERS), "some of " + ", ".join(TRACKERS)),
            ("max_length", 8 <= self.max_length <= 65_536, "8 to what the model allows"),
            ("weight_decay", 0 <= self.weight_decay <= 1, "0 to 1"),
            ("warmup_ratio", 0 <= self.warmup_ratio < 1, "0 or more, under 1"),
            ("patience", self.patience >= 0, "0 or more"),
            ("max_grad_norm", 0 < self.max_grad_norm < float("inf"), "over 0"),
            ("gradient_accumulation", 1 <= self.gradient_accumulation <= 65_536, "1 to 65,536"),
            ("seed", 0 <= self.seed < 2**32, "0 to 4,294,967,295"),
            ("device", self.device in get_args(Device), "one of " + ", ".join(get_args(Device))),
            ("precision", self.precision in get_args(Precision), "one of " + ", ".join(get_args(Precision))),
            ("shuffle_buffer", self.shuffle_buffer >= self.batch_size, f"batch_size, {self.batch_size}, or more"),
            ("stop_after", self.stop_after is None or self.stop_after >= 1, "1 or more"),
            ("text_column", bool(self.text_column), "one column or more"),
            ("label_column", bool(self.label_column), "one column or more"),
            ("model", bool(self.model.strip()), f"a hub id, a folder or {SCRATCH!r}"),
            ("encoding", _is_encoding(self.encoding), "an encoding of text, such as utf-8, latin-1, cp1252"),
        )
        faults = [
            f"{name} is {getattr(self, name)!r}, expected {expected}" for name, good, expected in ranges if not good
        ]
        named = [*self.text_column, *self.text_pair_column, *self.label_column, *filter(None, [self.group_column])]
        repeated = sorted({name for name in named if named.count(name) > 1})
        for name, needed in (("focal_gamma", "focal"), ("tau", "logit-adjusted")):
            if getattr(self, name) is not None and self.loss != needed:
                faults.append(f"{name} belongs to the loss {needed!r}, but the loss is {self.loss!r}")
        faults += self._teaching_faults()
        if self.stop_after is not None and self.several:
            faults.append("stop_after counts the steps of one run, but seeds or search make several")
        faults += self._streaming_faults()
        if repeated:
            faults.append(
                f"column(s) {', '.join(map(repr, repeated))} named twice: text, pair, label and group must differ"
            )
        if faults:
            raise OptionError("; ".join(faults) + ".")
        self.policy.check(self.max_length, pairs=bool(self.text_pair_column))

    def _teaching_faults(self) -> list[str]:
        names = ("layers", "hidden_size", "alpha", "teacher_temperature", "unlabelled")
        if self.teacher is None:
            return [f"{name} needs a teacher" for name in names if getattr(self, name) is not None]
        if self.cut_from_teacher and self.model != MODEL:
            return [
                "model names what to begin from, layers and hidden_size cut it out of the teacher: give one of them"
            ]
        return []

    @property
    def several(self) -> bool:
        """Whether several runs are made for one output."""
        return self.seeds > 1 or self.search is not None

    @property
    def cut_from_teacher(self) -> bool:
        """Whether the model is cut out of the teacher."""
        return self.layers is not None or self.hidden_size is not None

    def check_task(self, *, multi_label: bool) -> None:
        """Refuse what the task does not allow; which task it is, the table says.

        Args:
            multi_label: Whether a text may have any number of labels.

        Raises:
            OptionError: The loss or the pooling is not defined for it.
        """
        if multi_label and self.loss == "logit-adjusted":
            raise OptionError(
                "loss is 'logit-adjusted', which is defined for one label a text, and this table has several. "
                "Thresholds fitted on validation already do the like; 'weighted' and 'focal' can be used."
            )
        self.policy.check(self.max_length, multi_label=multi_label)

    def _streaming_faults(self) -> list[str]:
        """Say what a table that is not in memory cannot have."""
        if not self.streaming:
            return []
        faults = []
        if self.eval_data is None or self.test_data is None:
            faults.append("a stream is not split: with streaming, name eval_data and test_data")
        if self.teacher is not None:
            faults.append("a teacher answers all texts before training: it is not for streaming")
        if self.long_text == "windows":
            faults.append(
                "long_text is 'windows', but a stream does not know how many windows its texts will be: use truncate "
                "or head_tail"
            )
        return faults

    @property
    def policy(self) -> LongText:
        """What becomes of a long text, with the numbers that it needs."""
        return LongText.of(
            self.long_text,
            max_length=self.max_length,
            stride=self.stride,
            pooling=self.pooling,
            max_windows=self.max_windows,
        )

    @property
    def columns(self) -> TextColumns:
        """The columns that make a text."""
        return TextColumns(self.text_column, self.text_pair_column)

    def to_json(self) -> dict[str, Any]:
        """Give the options as JSON holds them: paths as strings, tuples as lists."""
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}


def _is_encoding(name: str) -> bool:
    try:
        "".encode(name)
    except LookupError:
        return False
    return True
