import copy
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import fx, nn
from torch.nn import functional as F  # noqa: N812

import lanista
from lanista.errors import ExportError
from lanista.export import write_folder


class Residual(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.act = nn.ReLU(inplace=True)
        same = stride == 1 and inputs == width
        self.shortcut = None if same else nn.Sequential(nn.Conv2d(inputs, width, 1, stride), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        y += x if self.shortcut is None else self.shortcut(x)
        return self.act(y)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.stages = nn.ModuleList([nn.Sequential(Residual(8, 8, 1), Residual(8, 12, 2)), Residual(12, 12, 1)])
        self.auxiliary = nn.Linear(12, 3)
        self.old_head = nn.Sequential(nn.Linear(12, 5), nn.Linear(5, 3))
        self.head = nn.Linear(12, 3)
        self.register_buffer("forgotten", torch.ones(2))

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        x = F.adaptive_avg_pool2d(x, 1).flatten(1)
        x = F.dropout(x, 0.3, training=self.training)
        return (self.head(x), self.auxiliary(x)) if self.training else self.head(x)


class SqueezeExcite(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.reduce = nn.Conv2d(width, 2, 1)
        self.expand = nn.Conv2d(2, width, 1)

    def forward(self, x):
        gate = x.mean((2, 3), keepdim=True)
        return x * F.hardsigmoid(self.expand(F.relu(self.reduce(gate))))


class Inverted(nn.Sequential):
    def __init__(self, width, kernel):
        super().__init__()
        self.add_module("expand", nn.Conv2d(width, 3 * width, 1))
        self.add_module("depthwise", nn.Conv2d(3 * width, 3 * width, kernel, padding=kernel // 2, groups=3 * width))
        self.add_module("act", nn.Hardswish())
        self.add_module("se", SqueezeExcite(3 * width))
        self.add_module("project", nn.Conv2d(3 * width, width, 1))

    def forward(self, x):
        return x + super().forward(x)


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.temperature = nn.Parameter(torch.rand(heads, 1, 1) + 0.5)

    def forward(self, x, mask=None):
        b, t, c = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        scores = q @ k.transpose(-2, -1) * self.temperature / (c // self.heads) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(mask[:t, :t], -torch.inf)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, c))


class Transformer(nn.Module):
    def __init__(self, width=8, length=6):
        super().__init__()
        self.tokens = nn.Embedding(11, width)
        self.start = nn.Parameter(torch.randn(1, 1, width))
        self.bias = nn.Parameter(torch.randn(11), requires_grad=False)
        self.register_buffer("positions", torch.randn(length, width), persistent=False)
        self.register_buffer("mask", torch.ones(length, length, dtype=torch.bool).triu(1))
        self.shift = torch.randn(width)  # a plain attribute
        self.blocks = nn.ModuleList(
            nn.ModuleDict({"norm": nn.LayerNorm(width), "mix": Attention(width, 2), "mlp": nn.Linear(width, width)})
            for _ in range(2)
        )
        self.head = nn.Linear(width, 11, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens, scale=1.0, *, weights=None):
        x = self.tokens(tokens) + self.positions[: tokens.shape[1]] + self.start - self.shift
        for block in self.blocks:
            x = x + block["mix"](block["norm"](x), self.mask)
            x = x + F.gelu(block["mlp"](x))
        if weights is not None:
            x = x * weights
        return {"logits": self.head(x) * scale + self.bias, "state": [x, (x[:, -1], None)]}


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(4, 5, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 2)
        self.act = self.last = nn.Tanh()

    def forward(self, x):
        out, (h, c) = self.rnn(x)
        return self.act(self.head(torch.cat([h[-1], c[-1]], 1))), self.last(out.sum((1, 2)) / out.size(1))


def input_choice(count, chosen):
    """What a choice of inputs is in a built model: a graph module made on the fly."""
    graph = fx.Graph()
    inputs = graph.placeholder("inputs")
    picked = [graph.call_method("__getitem__", (inputs, index)) for index in chosen]
    total = picked[0]
    for other in picked[1:]:
        total = graph.call_function(torch.add, (total, other))
    graph.output(total)
    return fx.GraphModule({}, graph)


class Cell(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.ops = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(width, width, 3, padding=1), nn.Identity(), nn.AvgPool2d(3, 1, 1)])
            for _ in range(3)
        )
        self.inputs = nn.ModuleList(input_choice(2 + node, (node, 1 + node)) for node in range(3))
        self.graph = fx.symbolic_trace(nn.Sequential(nn.BatchNorm2d(3 * width), nn.Conv2d(3 * width, width, 1)))

    def forward(self, a, b):
        states = [a, b]
        for node, ops in enumerate(self.ops):
            states.append(ops[node](self.inputs[node](states)))
        return self.graph(torch.cat(states[2:], dim=1))


class Darts(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.cells = nn.ModuleList(Cell(4) for _ in range(2))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        a = b = self.stem(x)
        for cell in self.cells:
            a, b = b, cell(a, b)
        return self.head(b.mean((2, 3)))


class Shared(nn.Module):
    """A layer and a block under two names, and tensors of its own that are one."""

    def __init__(self):
        super().__init__()
        block = SqueezeExcite(3)
        self.first = block
        self.second = nn.ModuleList([block, nn.Conv2d(3, 3, 1)])
        self.scale = nn.Parameter(torch.rand(3, 1, 1))
        self.inner = nn.Module()
        self.inner.scale = self.scale
        self.weights = nn.ParameterList([nn.Parameter(torch.rand(3, 1, 1)) for _ in range(2)])
        self.table = nn.ParameterDict({"a-b": nn.Parameter(torch.rand(1))})

    def forward(self, x):
        x = self.second[1](self.second[0](self.first(x))) * self.scale + self.inner.scale
        return x * self.weights[0] - self.weights[1] / self.table["a-b"]


class Frozen(nn.Module):
    """Frozen parts, a mode that does not follow, gradients off, and assignments in place."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).requires_grad_(False)
        self.neck = nn.Conv2d(4, 4, 1)
        self.neck.bias.requires_grad_(False)
        self.noise = nn.Dropout(0.5)

    def train(self, mode=True):
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, x):
        with torch.no_grad():
            x = self.backbone(x)
        y = self.neck(x)
        view = y[:, 0]
        y += 1
        y[:, 1] = view
        return self.noise(y), view


class Lists(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(3, 2) for _ in range(2))

    def forward(self, xs, extra):
        return torch.cat([layer(x) for layer, x in zip(self.layers, xs, strict=True)], 1) + extra["bias"]


def seeded(make):
    torch.manual_seed(0)
    model = make()
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.uniform_(0.5, 1.5)
    return model


def image(*shape):
    return torch.randn(*(shape or (2, 3, 8, 8)), generator=torch.Generator().manual_seed(1))


ZOO = {
    "resnet": (ResNet, (image(),)),
    "inverted": (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), Inverted(4, 3), Inverted(4, 5)), (image(),)),
    "transformer": (Transformer, (torch.arange(10).view(2, 5), 2.0)),
    "recurrent": (Recurrent, (image(2, 5, 4),)),
    "darts": (Darts, (image(),)),
    "shared": (Shared, (image(),)),
    "frozen": (Frozen, (image(),)),
    "lists": (Lists, ([image(2, 3), image(2, 3)], {"bias": image(2, 4)})),
    "double": (lambda: ResNet().double(), (image().double(),)),
    "bfloat16": (lambda: Recurrent().bfloat16(), (image(2, 5, 4).bfloat16(),)),
    "mixed": (lambda: Transformer().double(), (torch.arange(10).view(2, 5),)),
    "layer": (lambda: nn.GRU(3, 4), (image(2, 3, 3),)),
    "chain": (
        lambda: nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2))),
        (image(2, 3),),
    ),
    "graph": (lambda: fx.symbolic_trace(ResNet().eval()), (image(),)),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (image(2, 3, 8),)),
    "empty": (nn.ReLU, (image(2, 3),)),
}

RUN = """
import importlib.util, pathlib, sys, torch
sys.modules["lanista"] = None  # importing it raises
for case_file in sorted(pathlib.Path("cases").iterdir()):
    case = torch.load(case_file, weights_only=False)
    spec = importlib.util.spec_from_file_location("model", pathlib.Path("models", case_file.name, "model.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.load()
    with torch.no_grad():
        case["output"] = model(*case["inputs"])
    torch.manual_seed(3)
    case["training"] = model.train()(*case["inputs"])
    case["keys"] = list(model.state_dict())
    torch.save(case, case_file)
"""


def same(one, other):
    ours, shape = torch.utils._pytree.tree_flatten(one)
    theirs, expected = torch.utils._pytree.tree_flatten(other)
    assert shape == expected
    for a, b in zip(ours, theirs, strict=True):
        assert a is b is None or (a.dtype == b.dtype and torch.equal(a, b) and a.requires_grad == b.requires_grad)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What each exported model gives in one process that cannot import lanista."""
    root = tmp_path_factory.mktemp("zoo")
    (root / "cases").mkdir()
    for name, (make, inputs) in ZOO.items():
        write_folder(seeded(make), root / "models" / name, card={}, architecture={}, example_input=inputs)
        torch.save({"inputs": inputs}, root / "cases" / name)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN],
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: torch.load(root / "cases" / name, weights_only=False) for name in ZOO}, root / "models"


@pytest.mark.parametrize("name", ZOO)
def test_the_folder_computes_what_the_model_computes(runs, name):
    make, inputs = ZOO[name]
    model, case = seeded(make), runs[0][name]
    with torch.no_grad():
        same(case["output"], copy.deepcopy(model).eval()(*copy.deepcopy(inputs)))
    torch.manual_seed(3)
    same(case["training"], copy.deepcopy(model).train()(*copy.deepcopy(inputs)))


@pytest.mark.parametrize("name", ZOO)
def test_the_state_dict_has_the_paths_of_the_original(runs, name):
    unused = json.loads((runs[1] / name / "card.json").read_text())["export"]["unused"]
    expected = {key for key in seeded(ZOO[name][0]).state_dict() if not key.startswith(tuple(unused))}
    assert set(runs[0][name]["keys"]) == expected


@pytest.mark.parametrize("name", ZOO)
def test_the_code_is_clean(runs, name):
    lines = (runs[1] / name / "model.py").read_text().splitlines()
    assert not [line for line in lines if len(line) > 100 or line != line.rstrip() or "= None" in line]
    assert not [line for line in lines if line.startswith(("import", "from")) and "lanista" in line]


def load(folder):
    names = {"__name__": "model", "__file__": str(folder / "model.py")}
    exec((folder / "model.py").read_text(), names)
    return names["load"]()


def export(model, folder, **options):
    write_folder(model, folder, card={}, architecture={}, **options)
    return load(folder)


def test_ties_freezing_and_modes_stay(runs):
    transformer = load(runs[1] / "transformer")
    assert transformer.head.weight is transformer.tokens.weight
    shared = load(runs[1] / "shared")
    assert shared.first is shared.second[0]
    assert shared.scale is shared.inner.scale
    frozen = load(runs[1] / "frozen").train()
    expected = {name: value.requires_grad for name, value in Frozen().named_parameters()}
    assert {name: value.requires_grad for name, value in frozen.named_parameters()} == expected
    assert frozen.training and not frozen.backbone[1].training and frozen.noise.training


def test_what_is_not_used_is_left_out_and_recorded(tmp_path):
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
            self.spare = nn.Parameter(torch.zeros(2))

        def forward(self, x):
            return self.layers[2](self.layers[0](x))

    model = export(Half(), tmp_path / "half", example_input=torch.ones(1, 2))
    record = json.loads((tmp_path / "half" / "card.json").read_text())["export"]
    assert record["unused"] == ["layers.1", "spare"]
    assert list(model.state_dict()) == [
        "layers.0.weight",
        "layers.0.bias",
        "layers.2.weight",
        "layers.2.bias",
    ]


def test_trained_weights_replace_those_of_the_model(tmp_path):
    model, trained = seeded(Transformer), seeded(Transformer)
    for parameter in trained.parameters():
        parameter.data.add_(1.0)
    weights = {name: value for name, value in trained.state_dict().items() if name != "head.weight"}
    tokens = torch.arange(6).view(1, 6)
    trained.positions, trained.shift = model.positions, model.shift
    rebuilt = export(model, tmp_path / "net", weights=weights, example_input=tokens)
    same(rebuilt(tokens)["logits"], trained.eval()(tokens)["logits"])
    assert (tmp_path / "net" / "weights.safetensors").exists()
    assert not (tmp_path / "net" / "initial.safetensors").exists()
    assert json.loads((tmp_path / "net" / "card.json").read_text())["export"]["trained"] is True


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda weights: weights.pop("start"), "weights lack 'start'"),
        (
            lambda weights: weights.update(start=torch.zeros(1)),
            r"'start' of shape \(1,\); the model has \(1, 1, 8\)",
        ),
        (
            lambda weights: weights.update({"module.start": torch.zeros(1)}),
            r"\['module.start'\], which the model has",
        ),
        (
            lambda weights: weights.update({"head.weight": torch.zeros(11, 8)}),
            "weights differ for 'head.weight'",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, change, reason):
    weights = {name: value.clone() for name, value in Transformer().state_dict().items()}
    weights["tokens.weight"] = weights["head.weight"].clone()
    change(weights)
    with pytest.raises(ExportError, match=reason):
        export(Transformer(), tmp_path / "net", weights=weights)
    assert not list(tmp_path.iterdir())


def test_the_original_is_left_as_it_was(tmp_path):
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls, self.norm = 0, nn.BatchNorm1d(3)

        def forward(self, x):
            self.calls += 1
            self.last = x
            return self.norm(x) + torch.tensor(1.0)

    for training in (True, False):
        model = Counting().train(training)
        model.norm.train(not training)
        names, random = set(vars(model)), torch.get_rng_state()
        state = {name: value.clone() for name, value in model.state_dict().items()}
        export(model, tmp_path / "net", example_input=torch.randn(4, 3, generator=torch.Generator()))
        assert (model.training, model.norm.training, model.calls) == (training, not training, 0)
        assert set(vars(model)) == names
        assert torch.equal(torch.get_rng_state(), random) or training is None
        same(dict(model.state_dict()), state)


def test_an_earlier_export_is_replaced_and_nothing_else(tmp_path):
    first, second = nn.Linear(2, 2), nn.Linear(2, 3)
    folder = tmp_path / "deep" / "net"
    export(first, folder, weights=first.state_dict())
    assert export(second, folder).out_features == 3
    assert sorted(item.name for item in folder.iterdir()) == [
        "architecture.json",
        "card.json",
        "initial.safetensors",
        "model.py",
    ]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match=r"holds \['notes.txt'\].*new or empty folder"):
        export(first, folder)
    assert load(folder).out_features == 3
    with pytest.raises(ExportError, match="is a file"):
        export(first, folder / "notes.txt")
    assert [item.name for item in folder.parent.iterdir()] == ["net"]


class Fails(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_after_an_error_the_folder_is_as_before(tmp_path):
    folder = tmp_path / "net"
    export(nn.Linear(2, 2), folder)
    before = {item.name: item.read_bytes() for item in folder.iterdir()}
    for model, options in ((Fails(), {}), (nn.Linear(2, 3), {"example_input": torch.ones(1, 5)})):
        with pytest.raises(ExportError):
            export(model, folder, **options)
    assert {item.name: item.read_bytes() for item in folder.iterdir()} == before
    assert [item.name for item in tmp_path.iterdir()] == ["net"]


def test_a_folder_that_cannot_be_written_is_an_export_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="cannot be written"):
        export(nn.Linear(2, 2), tmp_path / "file" / "net")


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ({"card": {"export": 1}}, "key 'export'"),
        ({"card": {"score": float("nan")}}, "the card is not JSON"),
        ({"architecture": {"width": {1, 2}}}, "the architecture is not JSON"),
    ],
)
def test_records_that_are_not_json_are_refused(tmp_path, records, reason):
    with pytest.raises(ExportError, match=reason):
        write_folder(nn.ReLU(), tmp_path / "net", **({"card": {}, "architecture": {}} | records))
    assert not list(tmp_path.iterdir())


def test_the_card_says_what_is_needed_to_rebuild(tmp_path):
    card, architecture = {"score": 0.9, "data": "digits"}, {"width": 32, "body/op": "pool", "skip": [0, 1]}
    write_folder(nn.Linear(2, 2), tmp_path / "net", card=card, architecture=architecture)
    written = json.loads((tmp_path / "net" / "card.json").read_text())
    record = written.pop("export")
    assert written == card
    assert json.loads((tmp_path / "net" / "architecture.json").read_text()) == architecture
    assert (record["format"], record["weights"], record["trained"]) == (1, "initial.safetensors", False)
    assert record["torch"] == torch.__version__
    assert record["lanista"] == lanista.__version__
    assert "load()" in record["rebuild"]


HIDDEN = {"scale": 1.0}


class ReadsGlobal(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        HIDDEN["scale"] += 1
        return x * HIDDEN["scale"]


def test_other_outputs_than_the_model_has_are_found(tmp_path):
    with pytest.raises(ExportError, match="outputs of the written code differ"):
        export(ReadsGlobal(), tmp_path / "net", example_input=torch.ones(2))
    assert not list(tmp_path.iterdir())


def test_another_memory_layout_is_no_other_output(tmp_path):
    model = seeded(ResNet).to(memory_format=torch.channels_last)
    export(model, tmp_path / "net", example_input=image().contiguous(memory_format=torch.channels_last))


def test_a_written_folder_reports_itself(runs, capsys):
    runpy.run_path(str(runs[1] / "chain" / "model.py"), run_name="__main__")
    report = capsys.readouterr().out
    assert "Linear(in_features=3, out_features=4, bias=True)" in report
    assert "26 parameters" in report


LAYER = st.sampled_from(["conv", "depthwise", "norm", "relu", "gelu", "pool", "residual", "scale", "chunk", "mean"])


class Little(nn.Module):
    def __init__(self, kinds, width):
        super().__init__()
        self.kinds = kinds
        self.stem = nn.Conv2d(1, width, 1)
        layers = {
            "conv": lambda: nn.Conv2d(width, width, 3, padding=1),
            "depthwise": lambda: nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False),
            "norm": lambda: nn.BatchNorm2d(width),
            "gelu": nn.GELU,
            "pool": lambda: nn.MaxPool2d(3, 1, 1),
        }
        self.layers = nn.ModuleDict({str(i): layers[kind]() for i, kind in enumerate(kinds) if kind in layers})
        self.scales = nn.ParameterList(nn.Parameter(torch.rand(width, 1, 1)) for _ in kinds)

    def forward(self, x):
        x = first = self.stem(x)
        for i, kind in enumerate(self.kinds):
            if str(i) in self.layers:
                x = self.layers[str(i)](x)
            elif kind == "relu":
                x = torch.relu(x) * 2 - (1 - x) ** 2
            elif kind == "residual":
                x = x + first * 0.5
            elif kind == "scale":
                x = x * self.scales[i] / -(x.shape[0] + x.size(1) // 2)
            elif kind == "chunk":
                a, b = x.chunk(2, dim=1)
                x = torch.cat([b, a], dim=1)
            else:
                x = x - x.mean((2, 3), keepdim=True).view(x.size(0), x.size(1), 1, 1)
        return x


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(LAYER, max_size=12), width=st.sampled_from([2, 4]), seed=st.integers(0, 99))
def test_any_little_net_is_written(tmp_path, kinds, width, seed):
    torch.manual_seed(seed)
    model, x = Little(kinds, width), torch.randn(2, 1, 5, 5)
    rebuilt = export(model, tmp_path / "net", example_input=x)
    same(rebuilt.train()(x), model.train()(x))


def test_the_folder_may_be_given_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export(nn.Linear(2, 2), Path("net"))
    assert (tmp_path / "net" / "model.py").exists()


def test_a_folder_has_other_forms_on_request(tmp_path):
    model, example = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), torch.randn(2, 3)
    trained = {name: value + 1 for name, value in model.state_dict().items()}
    records = {"card": {}, "architecture": {}, "weights": trained, "example_input": example}
    write_folder(model, tmp_path / "model", **records, formats=["pt2"])
    loaded = torch.export.load(tmp_path / "model" / "model.pt2").module()
    model.load_state_dict(trained)
    assert torch.allclose(loaded(example), model.eval()(example), atol=1e-6)
    card = json.loads((tmp_path / "model" / "card.json").read_text())
    assert card["export"]["largest_pt2_difference"] <= 1e-6
    write_folder(model, tmp_path / "model", **records)  # replaces an export with more forms
    assert not (tmp_path / "model" / "model.pt2").exists()


@pytest.mark.parametrize(
    ("formats", "example", "words"),
    [(["tflite"], torch.zeros(1, 3), "no format 'tflite'; there is 'onnx', 'pt2'"), (["pt2"], None, "example_input=")],
)
def test_forms_that_cannot_be_written_are_refused(tmp_path, formats, example, words):
    with pytest.raises(ExportError, match=words):
        write_folder(nn.Linear(3, 4), tmp_path / "x", card={}, architecture={}, example_input=example, formats=formats)
    assert not list(tmp_path.iterdir())
