"""The errors that lanista raises: one root, one name for each kind of fault."""


class LanistaError(Exception):
    """Root of every error that lanista raises on purpose."""


class SpaceError(LanistaError, ValueError):
    """A model space or search space is ill-formed: conflicting labels, a hidden question, an empty domain."""


class ArchitectureError(LanistaError, ValueError):
    """An architecture does not fit its search space: unknown or missing label, value outside the domain."""


class InvalidMutation(LanistaError, ValueError):
    """An edit of a model's graph leaves a model that does not run; the message names mutator and node, and why."""


class MetricError(LanistaError, ValueError):
    """An evaluator gave something that is not a finite number, or not the metrics that the objectives name."""


class EvaluatorError(LanistaError, ValueError):
    """An evaluator is set up wrongly: data, loss, metrics, module or trainer arguments that do not fit together."""


class OneShotError(LanistaError):
    """A one-shot search cannot do what is asked: a decision that it cannot mix, a tensor without shared weights."""


class ExperimentError(LanistaError):
    """An experiment cannot go on as asked: name taken by another space, history that does not replay."""


class ExecutorError(LanistaError):
    """Workers cannot be started, or were used out of order."""


class StorageError(LanistaError):
    """The storage cannot be opened, read or written: not found, corrupt, read-only, full, of a newer schema."""


class ExportError(LanistaError):
    """A model cannot be written as plain code; the message names the module and the reason."""


class BenchmarkError(LanistaError):
    """A table of measured results is not there or cannot be read, or does not hold what was asked for."""


class Pruned(LanistaError):
    """Raised inside an evaluation to end it early; the trial counts as pruned, not as failed."""
