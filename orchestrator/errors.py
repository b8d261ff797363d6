"""Every error that a user can meet, and the exit code that it ends the command with.

    OrchestratorError                     1  something went wrong while doing what was asked
    ├── RequestError                      2  a mistake in what was asked
    │   ├── SettingsError                 2  findings about a job's settings, all of them at once
    │   └── StorageError                  2  the storage cannot be read or written as asked
    ├── RunFailed                         1  the run itself ended in failure
    ├── ClusterError                      3  the cluster does not answer, or refuses us
    ├── RunStopped                        4  stopped on request; the run can be resumed
    ├── BudgetSpent                       5  recovery was tried as often as allowed
    └── NotFoundError                     6  no run, checkpoint or file of that name

Messages say what was found, the rule, the numbers and the next step. All of these pickle, so that
they cross process borders whole.
"""

from __future__ import annotations

from typing import ClassVar


class OrchestratorError(Exception):
    """The root: anything that we raise on purpose."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.__dict__.copy())


class RequestError(OrchestratorError):
    exit_code = 2


class SettingsError(RequestError):
    """Carries the findings as text already, so that this lowest layer needs to know nothing."""

    def __init__(self, lines: list[str]) -> None:
        count = len(lines)
        plural = "mistake" if count == 1 else "mistakes"
        super().__init__("\n".join([f"{count} {plural}; nothing was started.", *lines]))
        self.lines = lines


class StorageError(RequestError):
    pass


class RunFailed(OrchestratorError):
    pass


class ClusterError(OrchestratorError):
    exit_code = 3


class RunStopped(OrchestratorError):
    exit_code = 4


class BudgetSpent(OrchestratorError):
    exit_code = 5


class NotFoundError(OrchestratorError):
    exit_code = 6


def _rebuild(kind: type[OrchestratorError], state: dict[str, object]) -> OrchestratorError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (state["message"],)
    return error
