import json
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from lanista import Experiment, FunctionalEvaluator, ModelSpace, choice
from lanista.errors import ArchitectureError, InvalidMutation, SpaceError
from lanista.graph import ModelGraph, Mutator
from lanista.nn import LayerChoice, Placeholder
from lanista.space import Categorical, Decision, Integer, SearchSpace
from lanista.strategy import Random, RegularizedEvolution
from tests.graph.zoo import IMAGES, ROWS, Block, ResNet, must_work, same, seeded


class Activations(Mutator):
    """One activation for the whole model."""

    def mutate(self, graph):
        kind = self.choice({"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU})
        for node in graph.find(type=nn.ReLU):
            node.replace(kind)


class Kernels(Mutator):
    """A kernel for each first convolution of a block."""

    def mutate(self, graph):
        for node in graph.find(name="layer*.conv1"):
            kernel = self.choice([3, 5, 1], label=node.name)
            node.update(kernel_size=kernel, padding=kernel // 2)


class Depths(Mutator):
    """Drops or repeats the second block of each layer, and chooses in each copy."""

    def mutate(self, graph):
        for section in (graph.section("layer1.1"), graph.section("layer2.1")):
            self.repeat(section, (0, 3), self.dilate)

    def dilate(self, section, index):
        if index:
            dilation = self.integer(1, 2)
            section.node(name="*.conv2").update(dilation=dilation, padding=dilation)


class Skips(Mutator):
    """Keeps a block, drops it, or scales it by a gate of its own."""

    def mutate(self, graph):
        block = graph.section("layer1.0")
        edits = {"keep": lambda: None, "drop": block.delete, "gate": lambda: self.gate(block)}
        self.one_of(edits, label="skip")

    def gate(self, block):
        gate = LayerChoice({"none": nn.Identity, "conv": lambda: nn.Conv2d(4, 4, self.choice([1, 3]), padding="same")})
        block.output.insert_after(gate)


MUTATORS = [Activations(label="act"), Kernels(label="kernel"), Depths(label="depth"), Skips()]


def space(**options):
    return ModelSpace(ResNet, example_input=IMAGES, mutators=MUTATORS, **options)


@pytest.fixture(scope="module")
def mutated():
    return space()


def test_the_questions_of_mutators_are_decisions_with_conditions(mutated):
    kernels = [f"kernel/layer{layer}.{block}.conv1" for layer in (1, 2) for block in (0, 1)]
    deep = [
        Decision(label, Integer(0, 3)) if "/integer" not in label else Decision(label, Integer(1, 2), when)
        for name in ("depth", "depth/2")
        for label, when in [
            (name, {}),
            (f"{name}/1/integer1", {name: [2, 3]}),
            (f"{name}/2/integer1", {name: [3]}),
        ]
    ]
    assert mutated.decisions == SearchSpace(
        [
            Decision("act", Categorical(["relu", "gelu", "silu"])),
            *(Decision(label, Categorical([3, 5, 1])) for label in kernels),
            *deep,
            Decision("Skips1/skip", Categorical(["keep", "drop", "gate"])),
            Decision("Skips1/skip/gate/LayerChoice1", Categorical(["none", "conv"]), {"Skips1/skip": ["gate"]}),
            Decision(
                "Skips1/skip/gate/LayerChoice1/conv/choice1",
                Categorical([1, 3]),
                {"Skips1/skip": ["gate"], "Skips1/skip/gate/LayerChoice1": ["conv"]},
            ),
        ]
    )
    assert mutated.decisions.size == 3**5 * (1 + 1 + 2 + 4) ** 2 * (1 + 1 + 1 + 2)


@pytest.mark.parametrize("seed", range(6))
def test_every_mutated_model_works(mutated, seed, tmp_path):
    architecture = mutated.sample(seed)
    model = mutated.build(json.loads(json.dumps(architecture)))
    must_work(model, IMAGES, tmp_path / "folder")
    assert not [m for m in model.modules() if type(m).__module__.startswith("lanista")]
    again = pickle.loads(pickle.dumps(mutated))
    assert again.decisions == mutated.decisions
    one, other = (seeded(lambda: each.build(architecture)) for each in (mutated, again))  # noqa: B023
    assert same(one(IMAGES), other(IMAGES))


def test_the_default_is_the_original_where_the_first_answers_change_nothing():
    space = ModelSpace(ResNet, example_input=IMAGES, mutators=[Kernels(label="kernel"), Skips()])
    model, original = (seeded(make) for make in (lambda: space.build(space.decisions.default()), ResNet))
    assert list(model.state_dict()) == list(original.state_dict())
    assert same(model(IMAGES), original(IMAGES))


def test_an_architecture_says_what_is_built(mutated):
    answers = {"act": "gelu", "kernel/layer1.0.conv1": 5, "depth": 0, "depth/2": 2, "depth/2/1/integer1": 2}
    architecture = {**mutated.decisions.default(), **answers, "Skips1/skip": "drop"}
    model = mutated.build(architecture)
    assert [len([m for m in model.modules() if isinstance(m, kind)]) for kind in (nn.ReLU, nn.GELU)] == [0, 6]
    convs = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    assert [name for name in convs if name.startswith("layer1")] == []
    assert convs["layer2.1_2.conv2"].dilation == (2, 2)
    history = mutated.history(architecture)
    assert [record.mutator for record in history] == ["act", "kernel", "depth", "Skips1"]
    assert [record.choices for record in history][2:] == [
        {"depth": 0, "depth/2": 2, "depth/2/1/integer1": 2},
        {"Skips1/skip": "drop"},
    ]
    text = "\n".join(map(str, history))
    for line in (
        "act (Activations): act='gelu'",
        "  replace layer1.0.relu: ReLU() -> GELU(approximate='none')",
        "  update layer1.0.conv1: kernel_size=5, padding=2",
        "  repeat layer2.1: 2 times",
        "  update layer2.1_2.conv2: dilation=2, padding=2",
        "  delete layer1.0: 7 nodes",
    ):
        assert line in text.splitlines(), text


@pytest.mark.parametrize("strategy", [Random(), RegularizedEvolution(population_size=4, sample_size=2)])
def test_strategies_search_mutated_models(mutated, strategy):
    def size(model):
        return float(sum(p.numel() for p in model.parameters()))

    experiment = Experiment(
        mutated, FunctionalEvaluator(size), strategy, objectives="minimize", name="size", storage=":memory:", seed=1
    )
    experiment.run(max_trials=12)
    assert len(experiment.trials) == 12
    assert all(trial.state == "completed" for trial in experiment.trials)
    best = experiment.top(1)[0]
    assert size(experiment.build(best)) == min(trial.metrics["score"] for trial in experiment.trials)


def test_a_built_model_is_copied_with_its_weights():
    model = seeded(ResNet).eval()
    space = ModelSpace(model, example_input=IMAGES, mutators=[Activations(label="act"), Kernels(label="kernel")])
    architecture = {**space.decisions.default(), "kernel/layer2.1.conv1": 5}
    built = [space.build(architecture) for _ in range(2)]
    assert all(not module.training for module in built[0].modules())
    states = [m.state_dict() for m in (*built, model)]
    same_shape = [name for name in states[0] if name != "layer2.1.conv1.weight"]
    assert all(torch.equal(states[0][name], states[2][name]) for name in same_shape)
    assert not {id(p) for p in built[0].parameters()} & {id(p) for m in (built[1], model) for p in m.parameters()}
    assert space.build(space.decisions.default())(IMAGES).equal(model(IMAGES))
    assert pickle.loads(pickle.dumps(space)).build(space.decisions.default())(IMAGES).equal(model(IMAGES))
    assert space.name == "ResNet"


def test_inline_choices_and_mutators_mix():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Linear(4, choice([4, 8], label="width"))
            self.body = LayerChoice({"relu": nn.ReLU, "block": lambda: Placeholder("block")}, label="body")

        def forward(self, x):
            return self.body(self.stem(x))

    class Fill(Mutator):
        def mutate(self, graph):
            graph.output.insert_before(self.choice({"tanh": nn.Tanh, "none": nn.Identity}))
            for node in graph.find(label="block"):
                node.replace(nn.Sigmoid)

    space = ModelSpace(Net, example_input=ROWS, mutators=[Fill(label="fill")])
    assert space.decisions.labels == ("width", "body", "fill")
    model = space.build({"width": 8, "body": "block", "fill": "tanh"})
    assert [type(m) for m in model.children()] == [nn.Linear, nn.Sigmoid, nn.Tanh]


class Count(Mutator):
    """Asks as many questions as it is told."""

    def __init__(self, questions, **options):
        super().__init__(**options)
        self.questions = questions

    def mutate(self, graph):
        for label in self.questions:
            self.choice([1, 2], label=label)


@pytest.mark.parametrize(
    ("mutators", "labels"),
    [
        ([Count([None], label="m")], ["m"]),
        ([Count([None, None, "kernel", None], label="m")], ["m", "m/2", "m/kernel", "m/3"]),
        ([Count([None, None]), Count(["kernel"])], ["Count1", "Count1/2", "Count2/kernel"]),
        ([Count([None], label="m"), Count([None, None], label="m")], ["m", "m/2"]),
    ],
)
def test_questions_are_named_after_their_mutator(mutators, labels):
    assert list(ModelSpace(nn.Tanh, mutators=mutators).decisions.labels) == labels


def test_questions_in_candidates_do_not_count():
    class Norm(Mutator):
        def mutate(self, graph):
            layers = {"none": nn.Identity, "norm": lambda: nn.LayerNorm(4, bias=self.choice([True, False]))}
            graph.output.insert_before(LayerChoice(layers, label="norm"))
            self.choice([1, 2])

    space = ModelSpace(nn.Tanh, mutators=[Norm(label="m")], example_input=ROWS)
    assert space.decisions.labels == ("norm", "norm/norm/choice1", "m")
    assert all(space.build(architecture)(ROWS).shape == (3, 4) for architecture in space.decisions.grid())


class Hidden(Mutator):
    def mutate(self, graph):
        if self.choice(["plain", "wide"], label="kind") == "wide":
            self.choice([1, 2], label="factor")


def test_a_question_behind_a_plain_if_is_found():
    with pytest.raises(SpaceError) as caught:
        ModelSpace(nn.Tanh, mutators=[Hidden(label="m")])
    words = ["decision 'm/factor', asked at", __file__, "answers to 'm/kind' (such as 'wide')"]
    assert all(word in str(caught.value) for word in words), caught.value


def test_names_do_not_depend_on_what_tracing_tries():
    class Names(Mutator):
        def mutate(self, graph):
            self.repeat(graph.section("layer1.1"), (1, 3), lambda section, _: self.look(section))
            graph.section("layer1.1").repeat(2)
            self.found = [node.name for node in graph.nodes]

        def look(self, section):
            section.output.insert_after(F.relu)
            self.integer(1, 2)

    mutator = Names(label="m")
    space = ModelSpace(ResNet, example_input=IMAGES, mutators=[mutator])
    traced = mutator.found
    model = space.build(space.decisions.default())
    assert mutator.found == traced
    assert [node.name for node in model.graph.nodes if node.op == "call_function"][:2] == ["relu", "relu_1"]


class Widen(Mutator):
    def mutate(self, graph):
        graph.node(name="fc").update(in_features=self.choice([8, 9], label="width"))


def test_an_illegal_edit_names_mutator_and_node():
    space = ModelSpace(ResNet, example_input=IMAGES, mutators=[Widen(label="widen")])  # legal by default
    with pytest.raises(InvalidMutation) as caught:
        space.build({"widen/width": 9})
    words = ["mutator 'widen' (Widen)", "update fc: in_features=9", "node 'fc'", "flatten [2, 8]"]
    assert all(word in str(caught.value) for word in words), caught.value
    assert space.build({"widen/width": 8})(IMAGES).shape == (2, 3)
    unchecked = ModelSpace(ResNet, mutators=[Widen(label="widen")])
    assert unchecked.build({"widen/width": 9}).fc.in_features == 9


class Missing(Mutator):
    def mutate(self, graph):
        graph.node(label="blok")


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: ModelSpace(ResNet, mutators=[Missing()]), InvalidMutation, ["'Missing1' (Missing)", "fits 'blok'"]),
        (lambda: ModelSpace(ResNet, mutators=Missing()), SpaceError, ["mutators is", "a list"]),
        (lambda: ModelSpace(ResNet, mutators=[Missing]), SpaceError, ["mutators is", "instances"]),
        (lambda: ModelSpace(ResNet()), SpaceError, ["built ResNet", "ModelSpace(model, mutators=[...])"]),
        (lambda: ModelSpace(ResNet(), 3, mutators=[Missing()]), SpaceError, ["built module and arguments"]),
        (lambda: Missing().choice([1, 2]), SpaceError, ["Missing asks", "not mutating"]),
        (lambda: asking(lambda m, g: m.one_of([1])), SpaceError, ["edits is [1]", "callables"]),
        (lambda: asking(lambda m, g: m.repeat(g.section("layer1"), (1, -1))), SpaceError, ["1", "-1"]),
        (lambda: asking(lambda m, g: m.repeat(g.section("layer1"), [-1, 1])), SpaceError, ["depth is [-1, 1]"]),
        (lambda: asking(lambda m, g: m.choice([1], label="")), SpaceError, ["label is ''"]),
    ],
)
def test_a_misuse_says_what_to_do(make, error, words):
    with pytest.raises(error) as caught:
        make()
    assert all(word in str(caught.value) for word in words), caught.value


def asking(do):
    class Asking(Mutator):
        def mutate(self, graph):
            do(self, graph)

    return ModelSpace(ResNet, mutators=[Asking()])


def test_a_mutator_works_without_a_space():
    graph = ModelGraph(seeded(ResNet), example_input=IMAGES)
    Activations(label="act").apply(graph)
    Kernels(label="kernel").apply(graph)
    assert graph.history[0].choices == {"act": "relu"}
    assert graph.module()(IMAGES).shape == (2, 3)


def test_an_unknown_answer_is_an_architecture_error(mutated):
    with pytest.raises(ArchitectureError, match="act"):
        mutated.build({**mutated.decisions.default(), "act": "mish"})
    with pytest.raises(ArchitectureError, match="'act' has no value"):
        mutated.history({})


# --- any sequence of edits gives a model that runs, or an error that names a node ---


def any_node(graph, number):
    return graph.nodes[number % len(graph.nodes)]


OPERATIONS = [nn.GELU, lambda: nn.Conv2d(4, 4, 1), lambda: nn.Conv2d(4, 8, 3), lambda: nn.BatchNorm2d(4), torch.tanh]

EDITS = {
    "replace": lambda g, a, b: any_node(g, a).replace(OPERATIONS[b % 5]),
    "update": lambda g, a, b: g.find(type=nn.Conv2d)[a % 3].update(kernel_size=1 + b % 3, padding=b % 2),
    "before": lambda g, a, b: any_node(g, a).insert_before(OPERATIONS[b % 5]),
    "after": lambda g, a, b: any_node(g, a).insert_after(OPERATIONS[b % 5]),
    "delete": lambda g, a, b: any_node(g, a).delete(keep=b % 2),
    "rewire": lambda g, a, b: any_node(g, a).rewire(any_node(g, b)),
    "repeat": lambda g, a, b: g.sections()[a % 3].repeat(b % 3),
    "drop": lambda g, a, b: g.sections()[a % 3].delete(),
    "squash": lambda g, a, b: g.sections()[a % 3].replace(OPERATIONS[b % 5]),
    "between": lambda g, a, b: g.between(any_node(g, a), any_node(g, b)).repeat(1 + a % 3),
}


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Block(4, 4), Block(4, 8, 2)

    def forward(self, x):
        return self.second(self.first(x)).mean((2, 3))


SMALL = torch.randn(2, 4, 6, 6, generator=torch.Generator().manual_seed(0))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(sorted(EDITS)), st.integers(0, 99), st.integers(0, 99)), max_size=6))
def test_any_edits_give_a_model_that_runs_or_say_what_is_wrong(steps):
    graph = ModelGraph(seeded(Small).eval(), example_input=SMALL)
    for name, first, second in steps:
        before = str(graph)
        try:
            EDITS[name](graph, first, second)
        except InvalidMutation as error:
            assert any(word in str(error) for word in ("node '", "section '", "comes after the output")), error
            assert str(graph) == before
        except (IndexError, ZeroDivisionError):
            assert not graph.find(type=nn.Conv2d)[first % 3 :] or not graph.sections()[first % 3 :]
    model = graph.module()
    model.graph.lint()
    output = model(SMALL)
    shape = graph.output.shape
    assert str(list(output.shape)) == shape
