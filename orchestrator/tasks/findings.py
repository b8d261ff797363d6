"""What is wrong with a task's data as a whole, and with an encoder for it: told before training.

`plan` and `finetune` call `check_task` with the examples that `read` made; without torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from orchestrator.encoder.directory import Directory
from orchestrator.settings.finding import Finding, did_you_mean
from orchestrator.settings.task import KINDS, METRICS, TRAIN, Task
from orchestrator.tasks.cut import groups_of, wanted_of
from orchestrator.tasks.example import Example
from orchestrator.tasks.kinds.kind import Kind, kind_of
from orchestrator.tasks.kinds.qa import QUESTION_TOKENS, question_room
from orchestrator.tasks.labels import Labels, labels_of
from orchestrator.tasks.read import Examples, cut_shares
from orchestrator.tasks.tokens import TaskTokenizer

_NAMED = 3
_SIZES = 5  # of groups that are shown


def check_task(task: Task, examples: Examples) -> list[Finding]:
    """Of labels and targets; what single rows have wrong is told by `read`."""
    kind = kind_of(task)
    train = examples[TRAIN]
    findings = [*metric_findings(task), *column_findings(task, kind)]
    findings += cut_findings(task, examples)
    if not train:
        return findings
    labels = labels_of(task, kind, train)
    if task.labels and not (labels.classes or labels.tags):
        found = f"=[{', '.join(task.labels)}]"
        rule = f"names labels, and the targets of kind={task.kind} have none."
        findings.append(Finding(key="task.labels", found=found, rule=rule, try_="task.labels=[]."))
    findings += _target_findings(train, labels)
    findings += class_metric_findings(task, labels)
    for split, some in examples.splits.items():
        findings += _label_findings(task, split, some, labels)
    return findings


def metric_findings(task: Task) -> Iterator[Finding]:
    for name in task.metrics:
        if name in METRICS and (fits := METRICS[name].kinds) is not None and task.kind not in fits:
            yield Finding(
                key="task.metrics",
                found=f"={name}",
                rule=f"does not fit kind={task.kind}; it is for {', '.join(sorted(fits))}.",
                try_=f"[{', '.join(KINDS[task.kind].metrics)}].",
            )


def class_metric_findings(task: Task, labels: Labels) -> Iterator[Finding]:
    """A metric of the second of two classes would choose a model by one of many."""
    found = len(labels.classes)
    for name in task.metrics:
        most = METRICS[name].most_classes if name in METRICS else None
        if most is not None and found > most:
            yield Finding(
                key="task.metrics",
                found=f"={name}",
                rule=f"is of {most} classes, and there are {found:,}: "
                f"{', '.join(labels.classes[:_NAMED])}{' …' if found > _NAMED else ''}.",
                try_="macro_f1, all classes alike, or micro_f1, all examples alike.",
            )


def column_findings(task: Task, kind: Kind) -> Iterator[Finding]:
    for role in task.columns:
        if role not in kind.roles:
            rule = f"is nothing that kind={task.kind} reads."
            near = did_you_mean(role, kind.roles)
            yield Finding(key=f"task.columns.{role}", found="", rule=rule, try_=near)


def cut_findings(task: Task, examples: Examples) -> Iterator[Finding]:
    """Of a split that nothing could be cut off for."""
    for split, source in _cut_sources(task, examples):
        if not examples[split]:
            yield Finding(
                key=f"task.data.{split}_share",
                found=f"={cut_shares(task)[split]:g} gives {split} no example of {len(source):,}:",
                rule=_indivisible(task, source),
                try_=f"task.data.splits.{split}.path=[…].",
            )


def cut_warnings(task: Task, examples: Examples) -> Iterator[str]:
    """Of a split that is less than half of what it should be, or more than twice."""
    for split, source in _cut_sources(task, examples):
        share, size = cut_shares(task)[split], len(examples[split])
        wanted = wanted_of(len(source), share)
        if size and not wanted <= 2 * size <= 4 * wanted:
            asked = f"task.data.{split}_share={share:g} asks for {wanted:,}"
            why = _indivisible(task, source)
            yield f"{split} has {size:,} of {len(source):,} examples, and {asked}: {why}"


def question_findings(
    task: Task, examples: Examples, tokenizer: TaskTokenizer
) -> Iterator[Finding]:
    """Of qa: nothing is trained on half a question, nor without a context."""
    frame_size = tokenizer.frame_size(is_pair=True)
    room = question_room(task.max_tokens - frame_size)
    if task.kind != "qa" or room == QUESTION_TOKENS:
        return
    asked = [example for some in examples.splits.values() for example in some]
    sizes = [len(ids) for ids in tokenizer.ids([example.texts[0] for example in asked])]
    longest = max(sizes, default=0)
    if longest > room:
        wanted = -(-4 * min(longest, QUESTION_TOKENS) // 3) + frame_size
        yield Finding(
            key="task.max_tokens",
            found=f"={task.max_tokens}",
            rule=f"has room for {room} tokens of a question, beside {frame_size} special ones and "
            f"a quarter for the context; {sum(size > room for size in sizes):,} have more, up to "
            f"{longest:,}: {asked[sizes.index(longest)].where}.",
            try_=f"task.max_tokens={wanted}; of a question at most {QUESTION_TOKENS} are read.",
        )


def encoder_findings(
    task: Task, directory: Directory, tokenizer: TaskTokenizer
) -> Iterator[Finding]:
    yield from position_findings(task, directory.model.max_positions, str(directory.path))
    if tokenizer.vocab_size > directory.vocab_size:
        yield Finding(
            key="encoder",
            found=f"={directory.path} has embeddings for {directory.vocab_size:,} words",
            rule=f"and its tokenizer has {tokenizer.vocab_size:,}: they do not belong together.",
        )


def position_findings(task: Task, positions: int, encoder: str) -> Iterator[Finding]:
    if task.max_tokens > positions:
        yield Finding(
            key="task.max_tokens",
            found=f"={task.max_tokens}",
            rule=f"is more than the {positions} positions of encoder={encoder}.",
            try_=f"task.max_tokens={positions}.",
        )


def _cut_sources(task: Task, examples: Examples) -> Iterator[tuple[str, list[Example]]]:
    """Splits that are cut off, the last one first, and what each was cut off."""
    source = [*examples[TRAIN]]
    for split in reversed(cut_shares(task)):
        source += examples[split]
        yield split, source


def _indivisible(task: Task, source: Sequence[Example]) -> str:
    sizes = Counter({name: len(some) for name, some in groups_of(source).items()})
    group, more = task.data.group, ", …" if len(sizes) > _SIZES else ""
    shown = [
        f"{size:,} of {name}" if group else f"{size:,}" for name, size in sizes.most_common(_SIZES)
    ]
    what = f"groups of task.data.group={group} stay whole" if group else "equal texts stay together"
    return (
        f"{what} ({len(sizes):,} in all: {', '.join(shown)}{more}), and training keeps an example "
        "of each label."
    )


def _target_findings(train: Sequence[Example], labels: Labels) -> Iterator[Finding]:
    first = train[0].target
    is_same = all(example.target == first for example in train) and len(train) > 1
    is_one_tag = len(labels.tags) == 1 and len(labels.classes) < 2
    if (is_same or is_one_tag) and not hasattr(first, "texts"):
        said = labels.tags[0] if is_one_tag else str(first)[:60]
        yield Finding(
            key=f"task.data.splits.{TRAIN}",
            found=f"all {len(train):,} examples have the target {said!r}",
            rule="and nothing can be learned from them.",
            try_="another column, or more of the file.",
        )


def _label_findings(
    task: Task, split: str, examples: Sequence[Example], labels: Labels
) -> Iterator[Finding]:
    """What training never had cannot be predicted, nor be measured."""
    kind = kind_of(task)
    strange: dict[str, list[Example]] = {}
    for example in examples:
        unknown = {
            *set(kind.class_names(example.target)).difference(labels.class_ids),
            *set(kind.tag_names(example.target)).difference(labels.tag_ids),
        }
        for name in unknown:
            strange.setdefault(name, []).append(example)
    for name in sorted(strange):
        some = strange[name]
        places = "; ".join(str(example.where) for example in some[:_NAMED])
        more = f"; and {len(some) - _NAMED:,} more" if len(some) > _NAMED else ""
        known = (*labels.classes, *labels.tags)
        whose = "is not one of task.labels." if split == TRAIN else "is in no training example."
        yield Finding(
            key=f"task.data.splits.{split}",
            found=f"{places}{more}: {name!r}",
            rule=whose,
            try_=did_you_mean(name, known),
        )
