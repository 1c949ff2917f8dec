"""Model spaces made from models that exist already."""

from lanista.elastic.plan import Cut, Stage
from lanista.elastic.report import Cost, Report
from lanista.elastic.space import from_model, report

__all__ = ["Cost", "Cut", "Report", "Stage", "from_model", "report"]
