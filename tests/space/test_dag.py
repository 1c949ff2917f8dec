import math
from collections import Counter
from fractions import Fraction
from itertools import permutations, product
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lanista.errors import SpaceError
from lanista.space import dag

OPS = ("conv1", "conv3", "pool")


def written(count):
    """All written forms of pruned graphs with `count` vertices, without operations, as rows."""
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    for bits in product((0, 1), repeat=len(pairs)):
        chosen = {pair for pair, bit in zip(pairs, bits, strict=True) if bit}
        matrix = tuple(tuple(int((i, j) in chosen) for j in range(count)) for i in range(count))
        if len(dag.alive(matrix)) == count:
            yield matrix


def cells(most, ops=OPS, max_num_edges=9):
    for count in range(2, most + 1):
        for matrix in written(count):
            if dag.edges(matrix) <= max_num_edges:
                yield from ((matrix, chosen) for chosen in product(ops, repeat=count - 2))


def distinct(count, num_ops, max_num_edges):
    """The number of distinct cells with `count` vertices.

    A graph with `orders` topological orders is written in `orders / automorphisms` ways. By Burnside's lemma, the
    operations that a written matrix can have, each weighted with its automorphisms, add up to the operations that
    each of the matrix's own automorphisms leaves in place.
    """
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    bit = {pair: position for position, pair in enumerate(pairs)}
    codes = np.arange(1 << len(pairs), dtype=np.int32)
    codes = codes[sum(codes >> position & 1 for position in range(len(pairs))) <= max_num_edges]
    for vertex in range(count):
        before = sum(1 << bit[i, vertex] for i in range(vertex))
        after = sum(1 << bit[vertex, j] for j in range(vertex + 1, count))
        codes = codes[(not before or codes & before != 0) & (not after or codes & after != 0)]
    orders, kept = np.zeros_like(codes), np.zeros_like(codes)
    for inner in permutations(range(1, count - 1)):
        place = (0, *inner, count - 1)
        moved, ordered = np.zeros_like(codes), np.ones(len(codes), bool)
        for i, j in pairs:
            edge = codes >> bit[i, j] & 1
            if place[i] < place[j]:
                moved |= edge << bit[place[i], place[j]]
            else:
                ordered &= edge == 0
        orders += ordered
        kept += np.where(ordered & (moved == codes), num_ops ** cycles(place), 0)
    return sum(Fraction(int(kept[orders == n].sum()), int(n)) for n in np.unique(orders))


def cycles(place):
    """Cycles of a permutation of the inner vertices."""
    left, found = set(place[1:-1]), 0
    while left:
        vertex, found = left.pop(), found + 1
        while (vertex := place[vertex]) in left:
            left.remove(vertex)
    return found


def test_there_are_as_many_cells_as_published():
    # 423,624: section 2.2 of https://arxiv.org/abs/1902.09635. 91 and 2,532 up to 4 and 5 vertices: EC-NAS
    # (https://arxiv.org/abs/2210.06015), which has all of them.
    totals = [sum(distinct(count, 3, 9) for count in range(2, most + 1)) for most in range(2, 8)]
    assert totals == [1, 7, 91, 2532, 64542, 423624]


def test_canonical_texts_and_forms_agree_with_the_count():
    forms = {}
    for matrix, ops in cells(5):
        forms.setdefault(dag.canonical(matrix, ops), []).append(dag.forms(matrix, ops))
    assert len(forms) == 2532
    assert all(counts == [len(counts)] * len(counts) for counts in forms.values())


@st.composite
def graphs(draw):
    count = draw(st.integers(2, 7))
    rows = [[0] * count for _ in range(count)]
    for vertex in range(1, count):
        for source in draw(st.sets(st.integers(0, vertex - 1), min_size=1)):
            rows[source][vertex] = 1
    return tuple(map(tuple, rows)), tuple(draw(st.sampled_from(OPS)) for _ in range(count - 2))


@given(graphs(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_order_of_vertices_does_not_matter(drawn, random):
    matrix, ops = dag.pruned(*drawn)
    assert dag.pruned(matrix, ops) == (matrix, ops)
    last = len(matrix) - 1
    orders = [
        (0, *inner, last)
        for inner in permutations(range(1, last))
        if all(i < j or not matrix[a][b] for i, a in enumerate(inner) for j, b in enumerate(inner) if i >= j)
    ]
    order = random.choice(orders)
    moved = tuple(tuple(matrix[i][j] for j in order) for i in order)
    assert dag.canonical(moved, tuple(ops[i - 1] for i in order[1:-1])) == dag.canonical(matrix, ops)


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_graphs_go_into_architectures_and_back(drawn):
    matrix, ops = drawn
    answers = {"other": 3, **dag.architecture(matrix, ops, "cell")}
    assert dag.matrix(answers, "cell") == matrix
    assert dag.graph(answers, "cell") == dag.pruned(matrix, ops)
    count = dag.edges(dag.pruned(matrix, ops)[0])
    assert dag.is_valid(answers, "cell", count)
    assert not dag.is_valid(answers, "cell", count - 1)


def test_what_leads_nowhere_is_pruned():
    dead = ((0, 1, 1, 1), (0, 0, 0, 1), (0, 0, 0, 0), (0, 0, 0, 0))
    assert dag.pruned(dead, ("a", "b")) == (((0, 1, 1), (0, 0, 1), (0, 0, 0)), ("a",))
    assert dag.alive(((0, 0), (0, 0))) == []


@pytest.mark.parametrize(("most", "max_num_edges"), [(4, 9), (5, 5)])
def test_each_cell_is_drawn_equally_often(most, max_num_edges):
    ops = ("a", "b")
    known = {dag.canonical(*cell) for cell in cells(most, ops, max_num_edges)}
    random, draws = Random(0), 20 * len(known)
    found = Counter(dag.canonical(*dag.sample(random, ops, most, max_num_edges)) for _ in range(draws))
    assert found.keys() <= known
    expected = draws / len(known)
    squares = sum((found[cell] - expected) ** 2 / expected for cell in known)
    # The statistic has mean `freedom` and variance 2 * freedom: within four deviations.
    freedom = len(known) - 1
    assert abs(squares - freedom) < 4 * math.sqrt(2 * freedom)


def test_large_cells_are_drawn_quickly_enough_to_use():
    drawn = [dag.sample(Random(seed), OPS) for seed in range(30)]
    assert all(dag.edges(matrix) <= 9 and len(dag.alive(matrix)) == len(matrix) for matrix, _ in drawn)
    assert len({dag.canonical(*cell) for cell in drawn}) == 30


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: dag.pruned(((0, 0), (0, 0)), ()), "no path leads from input to output"),
        (lambda: dag.architecture(((0, 0, 1), (0, 0, 1), (0, 0, 0)), ("a",), "c"), r"vertices 1 have no input"),
    ],
)
def test_a_misuse_says_what_is_wrong(ask, words):
    with pytest.raises(SpaceError, match=words):
        ask()
