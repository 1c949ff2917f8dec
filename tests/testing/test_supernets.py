"""Every primitive and every kind of layer keeps the laws of supernets; and the laws find what breaks them."""

from functools import cache

import pytest
import torch
from torch import nn

from lanista import ModelSpace
from lanista.nn import LayerChoice
from lanista.nn.mixture import Mixture
from lanista.oneshot import Network, Supernet
from lanista.oneshot.slices import Part
from lanista.space import choice
from lanista.testing import supernets
from lanista.testing.supernets import (
    SUPERNET_LAWS,
    gradients_and_statistics_arrive,
    heirs_are_on_their_own,
    nothing_is_drawn,
    paths_compute_what_frozen_models_compute,
    paths_see_what_optimizers_do,
    states_go_round,
    tied_weights_stay_tied,
    what_is_loaded_into_a_path_arrives,
    what_is_selected_is_the_path,
)
from tests.oneshot.hub import SPACES as HUB
from tests.oneshot.spaces import LAYERS, VECTOR
from tests.testing.test_primitives import SPACES

MAKERS = {name: cache(make) for name, make in {**SPACES, **LAYERS, **HUB}.items()}


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("law", SUPERNET_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", [*SPACES, *LAYERS])
def test_contract(law, name):
    law(MAKERS[name])


@pytest.mark.parametrize("name", HUB)
def test_spaces_of_the_hub(name, monkeypatch):
    monkeypatch.setattr(supernets, "SAMPLES", 1)
    paths_compute_what_frozen_models_compute(MAKERS[name])
    if name in ("NASBench101", "NASBench201", "DARTS", "MobileNetV3", "OFA", "AutoFormer", "Decoder"):
        gradients_and_statistics_arrive(MAKERS[name])
    if name in ("NASBench201", "ENASMacro", "FBNet", "OFA"):
        what_is_selected_is_the_path(MAKERS[name])


class Wide(nn.Sequential):
    def __init__(self):
        width = choice([4, 8], label="width")
        super().__init__(nn.Linear(6, width), nn.BatchNorm1d(width), nn.Linear(width, 2))


def wide():
    return ModelSpace(Wide, example_input=VECTOR)


def breaks(law, words, make=wide):
    with pytest.raises(AssertionError, match=words):
        law(make)


def test_other_slices_are_found(monkeypatch):
    monkeypatch.setattr(Part, "read", lambda part: part.tensor.flip(0)[tuple(map(slice, part.shape))])
    breaks(gradients_and_statistics_arrive, "other gradients")


def test_copies_are_found(monkeypatch):
    monkeypatch.setattr(Supernet, "path", Supernet.inherit)
    breaks(gradients_and_statistics_arrive, "other gradients")
    breaks(paths_see_what_optimizers_do, "stale")
    breaks(what_is_loaded_into_a_path_arrives, "did not arrive")


def test_statistics_that_do_not_arrive_are_found(monkeypatch):
    monkeypatch.setattr(Part, "view", lambda part: part.read().clone())
    breaks(gradients_and_statistics_arrive, "other statistics")


def test_heirs_that_share_are_found(monkeypatch):
    monkeypatch.setattr(Supernet, "inherit", Supernet.path)
    breaks(heirs_are_on_their_own, "are the supernet's")


def test_ties_that_come_loose_are_found(monkeypatch):
    def loose(net, architecture):
        model = inherit(net, architecture)
        model.out.weight = nn.Parameter(model.out.weight.detach().clone())
        return model

    inherit = Supernet.inherit
    monkeypatch.setattr(Supernet, "inherit", loose)
    breaks(tied_weights_stay_tied, "other ties", LAYERS["tied embedding"])


def test_random_numbers_are_found(monkeypatch):
    monkeypatch.setattr(Supernet, "skeleton", Supernet.model)
    breaks(nothing_is_drawn, "drew random numbers")


def test_a_path_that_is_not_the_model_is_found(monkeypatch):
    def doubled(net, architecture):
        return path(net, architecture).append(nn.Hardtanh())

    path = Supernet.path
    monkeypatch.setattr(Supernet, "path", doubled)
    breaks(paths_compute_what_frozen_models_compute, "differs in training")


def test_weights_that_are_not_in_the_state_are_found(monkeypatch):
    monkeypatch.setattr(Supernet, "load_state_dict", lambda net, state: None)
    breaks(states_go_round, "changed")


def test_a_network_that_computes_something_else_is_found(monkeypatch):
    def chosen(*arguments):
        return Mixture(torch.tensor([[1.0, 0.0]]))

    monkeypatch.setattr("lanista.oneshot.network.difference", lambda *_: None)
    monkeypatch.setattr("lanista.oneshot.network.exact", chosen)
    layers = {"a": lambda: nn.Linear(6, 6), "b": nn.Tanh}
    breaks(
        what_is_selected_is_the_path, "other gradients", lambda: ModelSpace(LayerChoice, layers, example_input=VECTOR)
    )


def test_a_network_that_selects_in_spite_of_obstacles_is_found(monkeypatch):
    monkeypatch.setattr(Network, "require", lambda network, purpose: None)
    breaks(what_is_selected_is_the_path, "obstacles", LAYERS["tied embedding"])
