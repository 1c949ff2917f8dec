from lanista.space import Categorical, SearchSpace
from lanista.space import trellis as trellis_module
from lanista.space.explanation import explain
from lanista.space.limit import Function, Limit, Sum, Term, rule

SPACE = SearchSpace({f"d{i}": Categorical(range(4)) for i in range(3)})
TOTAL = Sum("parameters", [Term([f"d{i}"], [({f"d{i}": v}, 1000 * v) for v in range(4)]) for i in range(3)], 500)
FIRST = Function("first", lambda architecture: float(architecture["d0"]), unit="ms")


def test_sums_are_exact_and_functions_are_as_seen():
    found = explain(SPACE, [TOTAL, FIRST], [Limit(TOTAL, most=1500), rule(lambda a: a["d1"] > 0, "second")])
    total, first = found.ranges
    assert (total.least, total.greatest, total.exact) == (500, 9500, True)
    assert (first.least, first.greatest, first.exact) == (0, 3, False)
    assert 3500 <= total.median <= 6500
    sums, rules = found.shares
    assert (sums.share, sums.exact) == (4 / 64, True)
    assert abs(rules.share - 0.75) < 0.05 and not rules.exact
    assert 0 < found.together < 4 / 64
    assert found.impossible == ()


def test_it_says_which_limit_makes_a_space_infeasible():
    found = explain(SPACE, [], [Limit(TOTAL, most=400), Limit(FIRST, most=1)])
    assert [limit.describe() for limit in found.impossible] == ["parameters at most 400"]
    assert "No architecture has parameters at most 400: loosen it." in str(found)
    together = explain(SPACE, [], [Limit(TOTAL, most=500), rule(lambda a: a["d1"] > 0, "second")])
    assert "together they leave little or nothing" in str(together)


def test_the_table_reads_well():
    limited = SPACE.constrain(Limit(TOTAL, most=5000))
    assert str(explain(limited, [FIRST], [])).splitlines() == [
        "cost        least  median  greatest",
        "first ms        0       2         3  (seen)",
        "parameters    500   5,500     9,500",
        "",
        "limit                     keep it",
        "parameters at most 5,000      0.5",
        "0.487 of 1,000 random architectures keep all limits",
    ]


def test_what_is_too_tied_together_is_estimated(monkeypatch):
    monkeypatch.setattr(trellis_module, "MOST_EDGES", 2)
    found = explain(SPACE, [TOTAL], [Limit(TOTAL, most=1500)])
    assert not found.ranges[0].exact and not found.shares[0].exact
    assert abs(found.shares[0].share - 4 / 64) < 0.03
