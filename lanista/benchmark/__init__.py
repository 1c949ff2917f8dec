"""Problems with known answers: tables of measured results, synthetic ones, and the protocols to search them by."""

from lanista.lazy import exports

_HOMES = {
    "Problem": "lanista.benchmark.synthetic",
    "Summary": "lanista.benchmark.protocol",
    "Table": "lanista.benchmark.table",
    "additive": "lanista.benchmark.synthetic",
    "biobjective": "lanista.benchmark.synthetic",
    "budget": "lanista.benchmark.protocol",
    "chain": "lanista.benchmark.synthetic",
    "conditional": "lanista.benchmark.synthetic",
    "deceptive": "lanista.benchmark.synthetic",
    "fronts": "lanista.benchmark.protocol",
    "nasbench101": "lanista.benchmark.nasbench",
    "nasbench201": "lanista.benchmark.nasbench",
    "nasbench_macro": "lanista.benchmark.nasbench",
    "queries": "lanista.benchmark.protocol",
    "transnasbench101": "lanista.benchmark.transnasbench",
}

__all__ = list(_HOMES)

__getattr__, __dir__ = exports(__name__, _HOMES, ("published",))
