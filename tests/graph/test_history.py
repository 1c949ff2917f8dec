from dataclasses import asdict
from json import dumps

from lanista.graph import Edit, Mutation


def test_records_are_data_and_print():
    record = Mutation("act", "Activations", {"act": "gelu"}, (Edit("replace", "relu", "ReLU() -> GELU()"),))
    assert str(record) == "act (Activations): act='gelu'\n  replace relu: ReLU() -> GELU()"
    assert str(Mutation("m", "M")) == "m (M): no choices\n  no edits"
    assert "Activations" in dumps(asdict(record))
    assert str(Edit("delete", "relu")) == "delete relu"
