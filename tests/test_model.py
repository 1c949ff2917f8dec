import json
import pickle
import random
import resource
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.fx import GraphModule

from lanista import ModelSpace, choice, integer
from lanista.errors import ArchitectureError, LanistaError, SpaceError
from lanista.nn import InputChoice, LayerChoice, Repeat
from lanista.profile import Measure, Measurement
from lanista.space import Categorical, Integer, SearchSpace, Subset

laws = settings(deadline=None, derandomize=True, max_examples=40)

# --- random programs: a description, what it means with lanista, and what it means without ---

WIDTH = 4
X = torch.linspace(-1, 1, 2 * WIDTH).view(2, WIDTH)
LEAVES = {"linear": partial(nn.Linear, WIDTH, WIDTH), "relu": nn.ReLU, "norm": partial(nn.LayerNorm, WIDTH)}
ACTIVATIONS = {"tanh": nn.Tanh, "elu": nn.ELU}
WIDTHS = [2, 3, None]


class Sum(nn.Module):
    """Feeds its input to each branch, and joins what `pick` picks of the outputs."""

    def __init__(self, branches, pick):
        super().__init__()
        self.branches, self.pick = nn.ModuleList(branches), pick

    def forward(self, x):
        return self.pick([branch(x) for branch in self.branches])


def narrow(width):
    return nn.Sequential(nn.Linear(WIDTH, width), nn.Linear(width, WIDTH)) if width else nn.Linear(WIDTH, WIDTH)


def build(program):
    """The model of a program, with lanista's questions."""
    match program:
        case ("leaf", name):
            return LEAVES[name]()
        case ("width", label):
            return narrow(choice(WIDTHS, label=label))
        case ("integer", label):
            return narrow(integer(1, 5, step=2, label=label))
        case ("activation", label):
            return choice(ACTIVATIONS, label=label)()
        case ("chain", parts):
            return nn.Sequential(*map(build, parts))
        case ("layers", label, parts):
            return LayerChoice({f"c{i}": partial(build, part) for i, part in enumerate(parts)}, label=label)
        case ("repeat", depth, block):
            return Repeat(lambda: build(block), depth)
        case ("inputs", counted, n_chosen, reduction, parts):
            branches = [build(part) for part in parts]
            return Sum(branches, InputChoice(len(parts) if counted else None, n_chosen, reduction))
    raise ValueError(program)


class Pick(nn.Module):
    """What `InputChoice` stands for, written by hand."""

    def __init__(self, chosen, reduction):
        super().__init__()
        self.chosen, self.reduction = chosen, reduction

    def forward(self, inputs):
        if not self.chosen:
            return torch.zeros_like(inputs[0])
        total = torch.stack([inputs[i] for i in self.chosen]).sum(0)
        return total / len(self.chosen) if self.reduction == "mean" else total


@dataclass
class Unanswered(Exception):
    label: str
    domain: object


@dataclass
class Part:
    """A part of the model by hand: its answers, and the running number of its automatic labels."""

    answers: dict
    prefix: str = ""
    asked: Counter = field(default_factory=Counter)

    def name(self, kind, label=None):
        self.asked.update([None] if label is None else [])
        return label or f"{self.prefix}{kind}{self.asked[None]}"

    def answer(self, label, domain):
        if label not in self.answers:
            raise Unanswered(label, domain)
        return self.answers[label]

    def within(self, label, name):
        return Part(self.answers, f"{label}/{name}/")


def by_hand(program, part):
    """The model of a program for given answers, without lanista; raises Unanswered where one is missing."""
    match program:
        case ("leaf", name):
            return LEAVES[name]()
        case ("width", label):
            return narrow(part.answer(part.name("choice", label), Categorical(WIDTHS)))
        case ("integer", label):
            return narrow(part.answer(part.name("integer", label), Integer(1, 5, 2)))
        case ("activation", label):
            return ACTIVATIONS[part.answer(part.name("choice", label), Categorical(ACTIVATIONS))]()
        case ("chain", parts):
            return nn.Sequential(*(by_hand(p, part) for p in parts))
        case ("layers", label, parts):
            named = {f"c{i}": p for i, p in enumerate(parts)}
            label = part.name("LayerChoice", label)
            chosen = part.answer(label, Categorical(named))
            return by_hand(named[chosen], part.within(label, chosen))
        case ("repeat", depth, block):
            label = part.name("Repeat")
            if not isinstance(depth, int):
                depth = part.answer(label, Categorical(depth) if isinstance(depth, list) else Integer(*depth))
            return nn.Sequential(*(by_hand(block, part.within(label, i)) for i in range(depth)))
        case ("inputs", _, n_chosen, reduction, parts):
            branches = [by_hand(p, part) for p in parts]
            options = range(len(parts))
            domain = Categorical(options) if n_chosen == 1 else Subset(options, n_chosen)
            answer = part.answer(part.name("InputChoice"), domain)
            return Sum(branches, Pick([answer] if n_chosen == 1 else answer, reduction))
    raise ValueError(program)


def all_architectures(program):
    """All that can be answered, found by trying; each in the order of the questions."""
    waiting = [{}]
    while waiting:
        answers = waiting.pop()
        try:
            by_hand(program, Part(answers))
        except Unanswered as question:
            waiting += [{**answers, question.label: value} for value in question.domain.grid()]
        else:
            yield answers


# Equal labels need equal questions: each label here belongs to one kind, and nothing is asked below it.
_leaves = st.one_of(
    st.tuples(st.just("leaf"), st.sampled_from(sorted(LEAVES))),
    st.tuples(st.just("width"), st.sampled_from([None, "width"])),
    st.tuples(st.just("integer"), st.sampled_from([None, "integer"])),
    st.tuples(st.just("activation"), st.sampled_from([None, "activation"])),
    st.just(("layers", "op", (("leaf", "linear"), ("leaf", "relu")))),
)


@st.composite
def _inputs(draw, inner, told):
    parts = tuple(draw(st.lists(inner, min_size=1, max_size=3)))
    n_chosen = draw(st.none() | st.integers(0, min(2, len(parts))))
    return "inputs", draw(told), n_chosen, draw(st.sampled_from(["sum", "mean"])), parts


def programs(counted=None):
    """Random programs; `counted` says whether each InputChoice is told how many candidates it has."""
    told = st.booleans() if counted is None else st.just(counted)

    def nested(inner):
        parts = st.lists(inner, min_size=1, max_size=3).map(tuple)
        return st.one_of(
            st.tuples(st.just("chain"), parts),
            st.tuples(st.just("layers"), st.none(), parts),
            st.tuples(st.just("repeat"), st.sampled_from([2, (0, 1), (1, 2), [2, 0, 1]]), inner),
            _inputs(inner, told),
        )

    return st.recursive(_leaves, nested, max_leaves=6)


def small(program, most=60):
    """All architectures of a program that has few."""
    found = list(islice(all_architectures(program), most + 1))
    assume(1 < len(found) <= most)
    return found


def seeded(make, seed=0):
    torch.manual_seed(seed)
    return make()


def assert_equal_models(model, other):
    state, expected = model.state_dict(), other.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in state)
    assert torch.equal(model(X), other(X))


# --- laws ---


@laws
@given(programs())
def test_the_space_has_exactly_the_architectures_that_can_be_answered(program):
    expected = small(program)
    space = ModelSpace(build, program, example_input=X).decisions
    found = {space.key(architecture) for architecture in space.grid()}
    assert found == {space.key(architecture) for architecture in expected}
    assert space.size == len(found) == len(expected)


@laws
@given(programs(), st.integers(0, 10**6))
def test_a_built_model_is_the_one_written_by_hand(program, seed):
    space = ModelSpace(build, program, example_input=X)
    architecture = space.sample(seed)
    assert space.decisions.validate(architecture) == architecture
    built = seeded(lambda: space.build(architecture))
    assert_equal_models(built, seeded(lambda: by_hand(program, Part(architecture))))
    assert_equal_models(built, seeded(lambda: space.build(json.loads(json.dumps(architecture)))))
    assert not traces_of_lanista(built)


@laws
@given(programs(counted=True))
def test_without_a_space_the_default_is_built(program):
    space = ModelSpace(build, program)
    assert_equal_models(seeded(lambda: build(program)), seeded(lambda: space.build(space.decisions.default())))


@laws
@given(programs())
def test_spaces_survive_pickling(program):
    space = ModelSpace(build, program, example_input=X)
    again = pickle.loads(pickle.dumps(space))
    assert again.decisions == space.decisions
    assert repr(again) == repr(space)
    architecture = space.sample(1)
    assert_equal_models(seeded(lambda: space.build(architecture)), seeded(lambda: again.build(architecture)))


def traces_of_lanista(model):
    """Whatever in a model, its attributes or its hooks comes from lanista."""
    found, waiting, seen = [], list(model.modules()), set()
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, torch.Tensor | str | int | float | None):
            continue
        seen.add(id(thing))
        homes = {str(getattr(owner, "__module__", "")) for owner in (thing, *type(thing).__mro__)}
        found += [thing for home in homes if home.partition(".")[0] == "lanista"]
        if isinstance(thing, dict):
            waiting += [*thing.keys(), *thing.values()]
        elif isinstance(thing, list | tuple | set):
            waiting += thing
        elif isinstance(thing, GraphModule):
            waiting += [node.target for node in thing.graph.nodes]
        waiting += vars(thing).values() if isinstance(thing, nn.Module) else []
        waiting += [cell.cell_contents for cell in getattr(thing, "__closure__", None) or []]
    return found


def test_the_search_for_traces_finds_them():
    for place in ("attribute", "hook"):
        model = nn.Sequential(nn.ReLU())
        model[0].register_forward_hook(lambda *_: None)
        assert not traces_of_lanista(model)
        if place == "hook":
            model[0].register_forward_pre_hook(InputChoice)
        else:
            model[0].extra = [{"space": SearchSpace()}]
        assert traces_of_lanista(model)


# --- forms of an architecture ---


def test_the_documented_forms_of_an_architecture_build_one_model():
    def net():
        layers = {name: partial(nn.Linear, WIDTH, n) for n, name in enumerate(["conv3x3", "conv5x5", "pool"], 4)}
        model = nn.Module()
        model.first = LayerChoice(layers)
        model.second = LayerChoice([partial(nn.Linear, n, WIDTH) for n in range(1, 9)])
        model.third = InputChoice(n_chosen=2, names=["layer1", "layer2", "layer3"], reduction="none")
        model.fourth = InputChoice(3, n_chosen=None, reduction="none")
        model.fifth = InputChoice(n_chosen=None, names=["a", "b", "c", "d", "e"], reduction="none")
        return model

    space = ModelSpace(net)
    architecture = json.loads("""{
        "LayerChoice1": "conv5x5",
        "LayerChoice2": 6,
        "InputChoice3": ["layer1", "layer3"],
        "InputChoice4": [1, 2],
        "InputChoice5": [false, true, false, false, true]
    }""")
    model = space.build(architecture)
    assert (model.first.out_features, model.second.in_features) == (5, 7)
    assert (model.third("xyz"), model.fourth("xyz"), model.fifth("abcde")) == (
        ["x", "z"],
        ["y", "z"],
        ["b", "e"],
    )
    names = {**architecture, "InputChoice5": ["b", "e"]}
    assert space.decisions.validate(architecture) == names
    indices = {"LayerChoice1": 1, "InputChoice3": [0, 2], "InputChoice5": [1, 4]}
    flags = {"LayerChoice1": [False, True, False], "InputChoice3": [True, False, True]}
    for form in (indices, flags):
        assert space.decisions.validate({**architecture, **form}) == names


# --- what a trace cannot or must not do ---


class Hidden(nn.Sequential):
    """Asks for a factor in a plain `if`, `nested` conditions deep."""

    def __init__(self, nested, *, first="plain"):
        other = "wide" if first == "plain" else "plain"
        super().__init__(nn.Linear(2, 2))
        if [choice([first, other], label=f"kind{n}") for n in range(nested)] == ["wide"] * nested:
            self.append(nn.Linear(2, choice([2, 4], label="factor")))


@pytest.mark.parametrize("first", ["plain", "wide"])
def test_a_question_in_an_if_is_found_by_tracing(first):
    with pytest.raises(SpaceError) as caught:
        ModelSpace(Hidden, 1, first=first)
    words = [
        "decision 'factor', asked at",
        __file__,
        "with some answers to 'kind0' (such as 'wide')",
        "LayerChoice({",
    ]
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_question_in_two_ifs_is_found_by_building():
    space = ModelSpace(Hidden, 2)
    assert "factor" not in space.decisions
    assert len(space.build({"kind0": "wide", "kind1": "plain"})) == 1
    with pytest.raises(ArchitectureError) as caught:
        space.build({"kind0": "wide", "kind1": "wide"})
    words = ["'factor', asked at", __file__, "kind0='wide', kind1='wide'", "Repeat(block, depth=(0, 1))"]
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_question_that_is_not_asked_under_other_answers_is_found_by_building():
    def net():
        answers = [choice(["x", "y"], label=label) for label in "ab"]
        return nn.Linear(1, 1 if answers == ["y", "y"] else choice([1, 2], label="width"))

    space = ModelSpace(net)
    assert space.build({"a": "y", "b": "x", "width": 2}).out_features == 2
    with pytest.raises(ArchitectureError, match=r"'width' was not asked for.*a='y', b='y', width=1.*callable"):
        space.build({"a": "y", "b": "y", "width": 1})


def test_candidates_that_depend_on_another_answer_are_refused():
    with pytest.raises(SpaceError) as caught:
        ModelSpace(lambda: nn.Linear(1, integer(1, choice([2, 3], label="most"), label="width")))
    words = [
        "'width', asked at",
        "an integer from 1 to 3",
        "answers to 'most' (such as 3)",
        "from 1 to 2 with others",
    ]
    assert all(word in str(caught.value) for word in words), caught.value

    def twice():
        first, second = choice([1, 2], label="a"), choice([1, 2], label="b")
        return nn.Linear(1, integer(1, max(2, first + second - 1), label="width"))

    space = ModelSpace(twice)
    with pytest.raises(ArchitectureError, match=r"'width', asked at .* allows an integer from 1 to 3"):
        space.build({"a": 2, "b": 2, "width": 1})


def test_answers_that_do_not_go_together_are_left_to_building():
    def net():
        heads, width = choice([1, 3], label="heads"), choice([8, 9], label="width")
        return nn.MultiheadAttention(width, heads)

    space = ModelSpace(net)
    assert space.decisions.size == 4
    with pytest.raises(AssertionError, match="divisible"):
        space.build({"heads": 3, "width": 8})


class Drops(nn.Sequential):
    """Needs real numbers while it is built, as models with stochastic depth do."""

    def __init__(self):
        rates = [rate.item() for rate in torch.linspace(0, 0.5, 3)]
        scale = float(torch.ones(3).numpy().sum())
        layers = {"drop": partial(nn.Dropout, rates[2]), "linear": lambda: nn.Linear(2, int(scale))}
        super().__init__(LayerChoice(layers, label="op"), nn.BatchNorm1d(choice([2, 3], label="width")))


def test_constructors_that_need_real_numbers_are_traced_for_real():
    space = ModelSpace(Drops)
    assert space.decisions == SearchSpace({"op": Categorical(["drop", "linear"]), "width": Categorical([2, 3])})
    model = space.build({"op": "linear", "width": 3})
    assert model(torch.ones(2, 2)).shape == (2, 3)
    assert space.build({"op": "drop", "width": 2})[0].p == 0.5


@pytest.mark.parametrize("builder", [Drops, partial(build, ("repeat", (1, 3), ("leaf", "linear")))])
def test_tracing_leaves_the_random_generators_alone(builder):
    torch.manual_seed(7)
    random.seed(7)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    ModelSpace(builder)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]


def test_tracing_leaves_modules_of_the_caller_as_they_are():
    shared = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(WIDTH).eval())

    def net():
        return Sum([shared, nn.Identity()], InputChoice())

    space = ModelSpace(net, example_input=X)
    assert space.decisions["InputChoice1"] == Categorical([0, 1])
    assert [module.training for module in shared.modules()] == [True, True, False]
    assert shared[1].running_mean.tolist() == [0] * WIDTH
    assert space.build({"InputChoice1": 0}).branches[0] is shared


def test_tracing_allocates_no_candidate():
    devices = set()

    def large():
        layer = nn.Linear(4096, 4096)
        devices.add(layer.weight.device.type)
        return layer

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux
    space = ModelSpace(lambda: LayerChoice([large] * 1000, label="op"))
    assert space.decisions.size == 1000
    assert devices == {"meta"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 * 1024


def test_candidates_that_are_built_for_real_are_not_kept():
    alive = []

    class Large(nn.Linear):
        def __init__(self):
            torch.zeros(1).item()
            super().__init__(1, 1)
            alive.append(1)

        def __del__(self):
            alive.pop()

    most = []

    def counted():
        most.append(len(alive))
        return Large()

    ModelSpace(lambda: LayerChoice([counted] * 50))
    assert len(most) >= 50
    assert max(most) <= 3


# --- misuse ---


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: ModelSpace(nn.Linear(1, 2)),
            ["a built Linear", "the class or a function", "ModelSpace(Linear, ...)"],
        ),
        (lambda: ModelSpace(3), ["ModelSpace got 3", "a callable"]),
        (lambda: ModelSpace(lambda: 3), ["<lambda> returned 3 (int)", "torch.nn.Module"]),
        (lambda: ModelSpace(lambda: nn.Linear), ["returned <class", "(type)"]),
        (lambda: ModelSpace(nn.Linear, 1, 2).build({"width": 3}), ["no decision 'width'"]),
        (
            lambda: ModelSpace(build, ("width", "width")).build({"widht": 3}),
            ["'widht'", "did you mean 'width'?"],
        ),
        (
            lambda: ModelSpace(build, ("width", "width")).build({"width": 4}),
            ["'width'", "4", "one of 2, 3, None"],
        ),
        (
            lambda: ModelSpace(build, ("width", "width")).build({}),
            ["'width' has no value", "one of 2, 3, None"],
        ),
    ],
)
def test_a_misuse_says_what_to_do(make, words):
    with pytest.raises(LanistaError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), caught.value


def test_an_error_of_the_model_comes_through():
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'program'"):
        ModelSpace(build)


def test_a_failed_build_leaves_no_context():
    space = ModelSpace(Hidden, 2)
    with pytest.raises(ArchitectureError):
        space.build({"kind0": "wide", "kind1": "wide"})
    assert choice([5, 6], label="kind0") == 5


# --- where the code may come from ---

SCRIPT = """
import pickle, sys, torch
from torch import nn
from lanista import ModelSpace, choice
from lanista.profile import Measure, Measurement
from lanista.nn import LayerChoice

class Net(nn.Sequential):
    def __init__(self, classes):
        width = choice([3, 4], label="width")
        super().__init__(nn.Linear(2, width), LayerChoice([nn.ReLU, lambda: nn.Tanh()]))
        self.classes = classes

spaces = [ModelSpace(Net, classes=5), ModelSpace(lambda: Net(5))]
print(*(space.decisions.fingerprint for space in spaces))
with open(sys.argv[1], "wb") as file:
    pickle.dump(spaces, file)
"""

READER = """
import pickle, sys
with open(sys.argv[1], "rb") as file:
    spaces = pickle.load(file)
for space in spaces:
    model = space.build({"width": 4, "LayerChoice1": 1})
    print(space.decisions.fingerprint, model.classes, model[0].out_features, type(model[1]).__name__)
"""


def test_spaces_of_a_main_module_are_read_where_it_is_not(tmp_path):
    def run(code):
        command = [sys.executable, "-c", code, str(tmp_path / "spaces")]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    first, second = run(SCRIPT).split()
    assert first == second
    assert run(READER) == f"{first} 5 4 Tanh\n" * 2


class Weights(Measure):
    """Parameters, as a sum over modules or, `whole`, as one number."""

    def __init__(self, whole=False):
        self.name, self._whole = "weights", whole
        self.measured = []

    def __call__(self, model, example_input=None):
        self.measured.append(next(model.parameters()).device.type)
        return Measurement(sum(p.numel() for p in model.parameters()), 0, "")

    def parts(self, model, example_input=None):
        if self._whole:
            return None
        return {name: float(parameter.numel()) for name, parameter in model.named_parameters()}

    def __repr__(self):
        return f"Weights({self._whole})"


def tower():
    widths = [choice([4, 8, 16], label=f"width{i}") for i in range(4)]
    return nn.Sequential(*(nn.Linear(a, b) for a, b in zip([4, *widths], [*widths, 2], strict=True)))


def weights_of(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("whole", [False, True])
def test_a_limited_space_gives_architectures_within_the_limit(whole):
    measure = Weights(whole)
    space = ModelSpace(tower).constrain(measure <= 300, measure >= 100, lambda a: a["width0"] != 8)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    for seed in range(20):
        architecture = space.sample(seed)
        assert 100 <= weights_of(space.build(architecture)) <= 300
        assert architecture["width0"] != 8
    space.decisions.default()
    torch.manual_seed(0)
    assert torch.equal(torch.get_rng_state(), state)
    assert set(measure.measured) == ({"cpu"} if whole else set())
    again = pickle.loads(pickle.dumps(space))
    assert again.decisions == space.decisions
    assert again.sample(5) == space.sample(5)
    large = {f"width{i}": 16 for i in range(4)}
    assert weights_of(space.build(large)) > 300  # what the user asks for by name is built
    assert len(space.decisions.violations(large)) == 1


def test_a_cost_is_learnt_once_and_shared_with_limited_spaces():
    space = ModelSpace(tower)
    weights = Weights()
    cost = space.cost(weights)
    assert space.constrain(weights <= 300).cost(weights) is cost
    assert space.cost(Weights(whole=True)) is not cost


def test_explain_reports_costs_and_limits_before_anything_is_spent():
    space = ModelSpace(tower)
    found = space.explain(Weights(), Weights() <= 300, lambda a: a["width0"] == 4)
    assert [r.cost.name for r in found.ranges] == ["weights"]
    assert found.ranges[0].least == weights_of(space.build(space.decisions.default()))
    assert len(found.shares) == 2
    assert "weights at most 300" in str(found)
    assert "weights at most 10: loosen it" in str(space.explain(Weights() <= 10))


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (lambda: Weights() <= 10, "no architecture has weights at most 10: weights is from"),
        (lambda: Weights() <= "many", "weights is compared with 'many'; give a number"),
        (lambda: 5e6, "the limit is 5000000.0; give a comparison"),
        (lambda: lambda architecture: False, "no architecture within the limits was found"),
    ],
)
def test_limits_that_make_no_sense_are_refused(limit, message):
    with pytest.raises(SpaceError, match=message):
        ModelSpace(tower).constrain(limit())


def test_a_sketch_has_shapes_and_no_weights():
    space = ModelSpace(tower)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    sketch = space.sketch({"width0": 8, "width1": 4, "width2": 4, "width3": 4})
    assert all(p.is_meta for p in sketch.parameters())
    assert sketch[0].weight.shape == (8, 4)
    assert torch.equal(torch.get_rng_state(), before)
