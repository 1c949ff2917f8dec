import json
from pathlib import Path

import pytest

from lanista import hub
from lanista.errors import SpaceError
from lanista.hub import CATALOG, known
from lanista.profile import parameters

RECORD = Path(__file__).parent.parent.parent / "docs" / "hub.jsonl"
RECORDED = {one["name"]: one for line in RECORD.read_text().splitlines() for one in json.loads(line)["known"]}


@pytest.mark.parametrize("name", [one.name for entry in CATALOG.values() for one in entry.known])
def test_a_known_architecture_has_the_parameters_that_the_page_shows(name):
    space, architecture = known(name)
    assert space.decisions.validate(architecture) == architecture
    assert parameters(space.sketch(architecture)).value == RECORDED[name]["parameters"]


def test_names_are_known_once_and_others_are_refused():
    names = [one.name for entry in CATALOG.values() for one in entry.known]
    assert len(names) == len(set(names))
    with pytest.raises(SpaceError, match="no known architecture 'DARTS v2'; did you mean 'DARTS-V2'"):
        known("DARTS v2")


def test_the_catalogue_has_every_space_of_the_hub():
    spaces = {name for name in hub.__all__ if name[0].isupper() and name not in ("CATALOG", "Entry", "Known")}
    assert spaces == CATALOG.keys()
    assert all(CATALOG[name].space is getattr(hub, name) for name in spaces)
