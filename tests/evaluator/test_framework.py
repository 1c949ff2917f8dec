import logging
import subprocess
import sys
import warnings

from lanista.evaluator.framework import LOGGERS, pl, quiet

HIDDEN = """
import sys
sys.modules["lightning"] = None  # as if it were not installed
from lanista import evaluator
evaluator.FunctionalEvaluator, evaluator.recalibrate, evaluator.retrain
try:
    evaluator.Classification
except evaluator_error as error:
    print(error)
"""


def test_without_the_extra_its_evaluators_say_how_to_install_it():
    code = "from lanista.errors import LanistaError as evaluator_error" + HIDDEN
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "which cannot be imported" in done.stdout
    assert "pip install 'lanista[lightning]'" in done.stdout


def test_quiet_keeps_back_what_lightning_says_and_nothing_else(caplog):
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    with quiet(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        warnings.warn("of the user", UserWarning, stacklevel=1)
        pl.Trainer(logger=False, accelerator="cpu")
        loggers[0].warning("of a fault")
    assert [str(warning.message) for warning in caught] == ["of the user"]
    assert caplog.messages == ["of a fault"]
    assert [logger.level for logger in loggers] == levels
