"""When something that repeats is due."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Every:
    """Every so many epochs, every so many steps, or both; 0 means off."""

    epochs: int
    steps: int

    @property
    def is_on(self) -> bool:
        """Whether it is ever due."""
        return self.epochs > 0 or self.steps > 0

    def due(self, step: int, *, steps_per_epoch: int) -> bool:
        """Say whether it is due after ``step`` steps are done (1-based)."""
        if step <= 0:
            return False
        by_steps = self.steps > 0 and step % self.steps == 0
        return by_steps or self.ends_epoch(step, steps_per_epoch=steps_per_epoch)

    def ends_epoch(self, step: int, *, steps_per_epoch: int) -> bool:
        """Say whether it is due because ``step`` ends one of the chosen epochs."""
        return self.epochs > 0 and step > 0 and step % (self.epochs * steps_per_epoch) == 0
