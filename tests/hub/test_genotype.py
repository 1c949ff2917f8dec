import pytest

from lanista.hub import CATALOG
from lanista.hub.genotype import ENTRIES, genotype


def test_a_genotype_names_operation_and_input():
    normal = [("a", 0), ("b", 1), ("c", 2), ("d", 0)]
    found = genotype(normal, normal[:2])
    assert found == {
        **{"normal/op_2_0": "a", "normal/input_2_0": 0, "normal/op_2_1": "b", "normal/input_2_1": 1},
        **{"normal/op_3_0": "c", "normal/input_3_0": 2, "normal/op_3_1": "d", "normal/input_3_1": 0},
        **{"reduce/op_2_0": "a", "reduce/input_2_0": 0, "reduce/op_2_1": "b", "reduce/input_2_1": 1},
    }


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_known_architectures_are_in_their_space(entry):
    assert CATALOG[entry.name] is entry
    decisions = entry.space(width=2, num_cells=3).decisions
    assert entry.known
    for known in entry.known:
        assert decisions.key(decisions.validate(known.architecture)) == decisions.key(dict(known.architecture))
