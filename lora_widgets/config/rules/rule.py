"""What a rule is: a question about a configuration, its severity, and the advice it gives."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from lora_widgets.catalog.families import FAMILIES
from lora_widgets.catalog.lora_types import LORA_TYPES
from lora_widgets.config.facts import Facts
from lora_widgets.config.steps import StepPlan
from lora_widgets.config.training_config import TrainingConfig


class Severity(Enum):
    """How serious a finding is: an error blocks the start, a note only informs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Fix:
    """Changes of settings that settle a finding, and what to write on the button."""

    label: str
    changes: dict[str, object]


@dataclass(frozen=True)
class Finding:
    """Something to know about a configuration: which settings, what is wrong and why, what to do.

    ``fix`` settles it, as does each of ``other_fixes``.
    """

    severity: Severity
    settings: tuple[str, ...]
    message: str
    remedy: str
    fix: Fix | None = None
    other_fixes: tuple[Fix, ...] = ()

    @property
    def fixes(self) -> tuple[Fix, ...]:
        """All ways to settle it, the recommended one first."""
        return (*((self.fix,) if self.fix else ()), *self.other_fixes)

    @property
    def sentence(self) -> str:
        """The message with its full stop."""
        return self.message if self.message.endswith((".", "?")) else f"{self.message}."

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.sentence} {self.remedy}".strip()


@dataclass(frozen=True)
class Situation:
    """What a rule may look at; ``steps`` is None while the pictures are unknown."""

    config: TrainingConfig
    facts: Facts
    steps: StepPlan | None

    def type_reads(self, setting: str) -> bool:
        """Say whether the chosen adapter type looks at a setting."""
        return setting in LORA_TYPES[self.config.lora_type].reads

    @property
    def has_convolutions(self) -> bool:
        """Whether the denoiser is a UNet; the transformers of Flux and SD3 have linear layers only."""
        return not self.is_flow

    @property
    def is_flow(self) -> bool:
        """Whether the family is trained by flow matching."""
        return FAMILIES[self.config.model_type].is_flow

    def is_changed(self, setting: str) -> bool:
        """Say whether a setting has another value than its default."""
        return getattr(self.config, setting) != TrainingConfig.model_fields[setting].default


@dataclass(frozen=True)
class Advice:
    """What a rule says when it applies."""

    message: str
    remedy: str = ""
    fix: Fix | None = None
    other_fixes: tuple[Fix, ...] = ()


@dataclass(frozen=True)
class Rule:
    """A rule with the settings that it is about."""

    name: str
    severity: Severity
    settings: tuple[str, ...]
    advise: Callable[[Situation], Advice | None] = field(compare=False)

    def finding(self, now: Situation) -> Finding | None:
        """Apply the rule."""
        advice = self.advise(now)
        if advice is None:
            return None
        return Finding(
            self.severity, self.settings, advice.message, advice.remedy, advice.fix, advice.other_fixes
        )


RULES: list[Rule] = []


def rule(
    severity: Severity, *settings: str
) -> Callable[[Callable[[Situation], Advice | None]], Callable[[Situation], Advice | None]]:
    """Register the decorated function as a rule about ``settings``; unknown names are a mistake of ours."""
    for setting in settings:
        if setting not in TrainingConfig.model_fields:
            raise NameError(f"a rule names the setting {setting!r}, which does not exist")

    def register(advise: Callable[[Situation], Advice | None]) -> Callable[[Situation], Advice | None]:
        RULES.append(Rule(advise.__name__, severity, settings, advise))
        return advise

    return register


def change(**changes: object) -> Fix:
    """Offer changes under a label that says what they do."""
    parts = (
        f"turn {name} {'on' if value else 'off'}"
        if isinstance(value, bool)
        else f"set {name} to {_written(value)}"
        for name, value in changes.items()
    )
    label = " and ".join(parts)
    return Fix(label[:1].upper() + label[1:], changes)


def _written(value: object) -> str:
    if value in (None, ""):
        return "nothing"
    return f"{value:g}" if isinstance(value, float) else str(value)
