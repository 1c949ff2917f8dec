from lanista.elastic import Cost, Cut, Report, Stage

CUT = Cut("a/width", "width", 16, 1, (16, 8), ("a", ""), ("b",))
STAGE = Stage("c/depth", "c", (2, 1), ("0", "1"))


def test_a_report_is_a_table():
    fixed = dict.fromkeys("pqrst", "too small") | {"": "an output"}
    report = Report((CUT, STAGE), fixed, 1e-9, Cost(1000, 2000), Cost(10, None))
    assert str(report).splitlines() == [
        "a/width  16, 8  [a, (the model itself); read by b]",
        "c/depth  2, 1  [blocks of c]",
        "searchable: 1 width, 1 depth; smallest: 10 parameters; full: 1,000 parameters, 2,000 multiply-accumulates",
        "full-size sample and original differ by at most 1e-09",
        "layers with weights that keep their own channels:",
        "  p, q, r and 2 more: too small",
        "  (the model itself): an output",
    ]
    assert str(report).endswith(report.summary())


def test_without_values_it_says_so():
    assert "no values" in str(Report((CUT,), {}, None, Cost(1, 1), Cost(1, 1)))
