import inspect
import warnings

import pytest
import torch
from torch import nn

from lanista.errors import ExportError
from lanista.export.constructor import chain, constructor, layer


def encoder_layer(**options):
    return nn.TransformerEncoderLayer(8, 2, 16, **options)


def encoder(norm=None, **options):
    return nn.TransformerEncoder(encoder_layer(batch_first=True), 2, norm, **options)


WITHOUT_ARGUMENTS = """
    CELU CTCLoss CosineEmbeddingLoss CosineSimilarity CrossEntropyLoss BCELoss BCEWithLogitsLoss ELU GELU GLU
    Flatten GaussianNLLLoss Hardshrink Hardsigmoid Hardswish Hardtanh HingeEmbeddingLoss HuberLoss Identity
    KLDivLoss L1Loss LeakyReLU LogSigmoid LogSoftmax MSELoss MarginRankingLoss Mish MultiLabelMarginLoss
    MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss PReLU PairwiseDistance PoissonNLLLoss RReLU ReLU ReLU6
    SELU SiLU Sigmoid SmoothL1Loss SoftMarginLoss Softmax Softmax2d Softmin Softplus Softshrink Softsign Tanh
    Tanhshrink TripletMarginLoss Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout
"""

# The call, as it should read; the module is built from it with torch's own constructor.
CALLS = [
    *(f"nn.{name}()" for name in WITHOUT_ARGUMENTS.split()),
    *(f"nn.AdaptiveAvgPool{n}d({size})" for n, size in ((1, 3), (2, "(2, None)"), (3, "(1, 2, 3)"))),
    *(f"nn.AdaptiveMaxPool{n}d(2, return_indices=True)" for n in (1, 2, 3)),
    *(f"nn.AvgPool{n}d(3, stride=2, padding=1, count_include_pad=False)" for n in (1, 2, 3)),
    *(f"nn.MaxPool{n}d(3, stride=1, padding=1, dilation=2, ceil_mode=True)" for n in (1, 2, 3)),
    *(f"nn.LPPool{n}d(2, 3, stride=2)" for n in (1, 2, 3)),
    *(f"nn.MaxUnpool{n}d(2, stride=1)" for n in (1, 2, 3)),
    "nn.FractionalMaxPool2d(2, output_size=(3, 4))",
    "nn.FractionalMaxPool3d(2, output_ratio=(0.5, 0.5, 0.5))",
    *(f"nn.Conv{n}d(4, 8, 3, stride=2, padding=1, dilation=2, groups=2, bias=False)" for n in (1, 2, 3)),
    'nn.Conv2d(4, 8, (3, 5), padding="same", padding_mode="reflect")',
    "nn.Conv2d(4, 8, (1, 3), stride=(1, 2), padding=(0, 1))",
    *(f"nn.ConvTranspose{n}d(4, 8, 3, stride=2, output_padding=1, bias=False, dilation=2)" for n in (1, 2, 3)),
    "nn.Linear(3, 4)",
    "nn.Linear(3, 4, bias=False)",
    "nn.Bilinear(2, 3, 4, bias=False)",
    *(f"nn.BatchNorm{n}d(4, eps=0.001, momentum=None, affine=False)" for n in (1, 2, 3)),
    "nn.BatchNorm2d(4, track_running_stats=False)",
    "nn.SyncBatchNorm(4, momentum=0.2)",
    *(f"nn.InstanceNorm{n}d(4, affine=True, track_running_stats=True)" for n in (1, 2, 3)),
    "nn.GroupNorm(2, 4, affine=False)",
    "nn.LayerNorm((4, 5), eps=0.001)",
    "nn.LayerNorm(4, elementwise_affine=False)",
    "nn.LayerNorm(4, bias=False)",
    "nn.RMSNorm(4, eps=0.001)",
    "nn.LocalResponseNorm(3, alpha=0.1)",
    "nn.CrossMapLRN2d(3, k=2)",
    "nn.Embedding(10, 4, padding_idx=2, max_norm=1.0)",
    'nn.EmbeddingBag(10, 4, mode="sum", include_last_offset=True)',
    "nn.RNN(3, 4, num_layers=2, dropout=0.1, bidirectional=True)",
    'nn.RNN(3, 4, nonlinearity="relu")',
    "nn.LSTM(3, 4, bias=False, batch_first=True, proj_size=2)",
    "nn.GRU(3, 4, bidirectional=True)",
    'nn.RNNCell(3, 4, bias=False, nonlinearity="relu")',
    "nn.LSTMCell(3, 4)",
    "nn.GRUCell(3, 4, bias=False)",
    "nn.MultiheadAttention(8, 2, dropout=0.1, bias=False, add_bias_kv=True, kdim=3, batch_first=True)",
    "nn.MultiheadAttention(8, 2, vdim=5)",
    "nn.MultiheadAttention(8, 2, add_zero_attn=True)",
    "nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, dropout=0.2, activation=F.gelu, batch_first=True)",
    "nn.TransformerEncoderLayer(8, 2, activation=nn.SiLU(), layer_norm_eps=0.1, norm_first=True, bias=False)",
    "nn.TransformerDecoderLayer(8, 2, dim_feedforward=16, norm_first=True)",
    "nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 2, norm=nn.LayerNorm(8), mask_check=False)",
    "nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2), 2)",
    "nn.Transformer(d_model=8, nhead=2, num_encoder_layers=1, num_decoder_layers=2, bias=False)",
    "nn.Upsample(size=(4, 5))",
    'nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=True)',
    "nn.UpsamplingNearest2d(scale_factor=2.0)",
    "nn.UpsamplingBilinear2d(size=3)",
    "nn.PixelShuffle(2)",
    "nn.PixelUnshuffle(2)",
    "nn.ChannelShuffle(2)",
    "nn.Fold((4, 5), 2, padding=1)",
    "nn.Unfold((2, 3), stride=2)",
    "nn.Flatten(start_dim=0, end_dim=2)",
    "nn.Unflatten(1, (2, 3))",
    *(f"nn.{kind}Pad{n}d({n})" for kind in ("Circular", "Reflection", "Replication", "Zero") for n in (1, 2, 3)),
    *(f"nn.ConstantPad{n}d(1, 0.5)" for n in (1, 2, 3)),
    "nn.ZeroPad2d((1, 2, 3, 4))",
    "nn.ReLU(inplace=True)",
    "nn.ELU(alpha=0.5)",
    "nn.LeakyReLU(negative_slope=0.2, inplace=True)",
    "nn.PReLU(num_parameters=4)",
    "nn.Hardtanh(min_val=0.0, max_val=6.0)",
    'nn.GELU(approximate="tanh")',
    "nn.GLU(dim=1)",
    "nn.Softmax(dim=1)",
    "nn.Threshold(0.1, 20.0)",
    "nn.Softplus(beta=2.0)",
    "nn.Dropout(p=0.0, inplace=True)",
    "nn.CrossEntropyLoss(weight=torch.ones((3,)), ignore_index=1, label_smoothing=0.1)",
    "nn.BCEWithLogitsLoss(pos_weight=torch.ones((3,)))",
    "nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10], div_value=2.0, head_bias=True)",
    "nn.LinearCrossEntropyLoss(4, 5, bias=True)",
    'nn.NLLLoss2d(reduction="sum")',
    "nn.TripletMarginWithDistanceLoss(distance_function=nn.PairwiseDistance(p=1.0), margin=2.0)",
    "nn.TripletMarginWithDistanceLoss(distance_function=F.pairwise_distance)",
    "nn.CosineSimilarity(dim=0)",
    "nn.PairwiseDistance(p=1.0, keepdim=True)",
]


def build(call):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NLLLoss2d, dropout of one layer: torch's own advice
        return eval(call, {"nn": nn, "torch": torch, "F": nn.functional})


@pytest.mark.parametrize("call", CALLS)
def test_reads_as_it_was_written(call):
    module = build(call)
    assert constructor(module, "body.0") == call


def test_a_torch_without_the_youngest_layer_will_do(monkeypatch):
    monkeypatch.delattr(nn, "LinearCrossEntropyLoss", raising=False)
    assert constructor(nn.Linear(2, 3), "head") == "nn.Linear(2, 3)"


def test_every_layer_of_torch_is_in_the_table():
    abstract = {"Container", "DataParallel", "Module", "RNNBase", "RNNCellBase"}
    containers = {"ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"}
    layers = {
        name
        for name, cls in vars(nn).items()
        if inspect.isclass(cls) and issubclass(cls, nn.Module) and not name.startswith("Lazy")
    }
    tested = {call.partition("(")[0].removeprefix("nn.") for call in CALLS}
    # LinearCrossEntropyLoss and others are younger than the oldest torch that lanista takes.
    assert layers - abstract - containers <= tested


def test_a_lazy_layer_is_written_once_it_knows_its_shape():
    module = nn.LazyConv2d(4, 3, padding=1)
    with pytest.raises(ExportError, match=r"'stem' .*run the model once"):
        constructor(module, "stem")
    module(torch.zeros(1, 2, 8, 8))
    assert constructor(module, "stem") == "nn.Conv2d(2, 4, 3, padding=1)"


class Same(nn.Conv2d):
    def __init__(self, width):
        super().__init__(width, width, 3, padding=1)
        self.width = width


class Scaled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def test_a_subclass_that_only_adds_a_constructor_is_its_base():
    assert constructor(Same(4), "body") == "nn.Conv2d(4, 4, 3, padding=1)"
    assert layer(Scaled(2, 2)) is None


@pytest.mark.parametrize(
    "module",
    [nn.Sequential(nn.ReLU()), nn.ModuleList([nn.ReLU()]), nn.ModuleDict(), nn.ParameterList(), nn.Module()],
)
def test_containers_are_no_layers(module):
    assert layer(module) is None


def test_a_chain_holds_layers_and_chains_only():
    assert chain(nn.Sequential(nn.ReLU(), nn.Sequential(nn.Linear(2, 2))))
    assert not chain(nn.Sequential(nn.ReLU(), Scaled(2, 2)))
    assert not chain(nn.ModuleList([nn.ReLU()]))


def _patched_forward(module):
    module.forward = torch.relu


def _other_attribute(module):
    module.linear1.out_features = 5


def _other_child(module):
    module.linear1 = nn.Linear(8, 4)


def _further_child(module):
    module.extra = nn.ReLU()


def _unlike_layers(module):
    module.layers[1].dropout.p = 0.7


@pytest.mark.parametrize(
    ("module", "change", "reason"),
    [
        (encoder_layer(), _patched_forward, "forward"),
        (encoder_layer(), _other_attribute, "linear1"),
        (encoder_layer(), _other_child, "linear2|linear1"),
        (encoder_layer(), _further_child, "children"),
        (encoder(), _unlike_layers, r"layers\.1\.dropout"),
        (nn.Linear(2, 2), _patched_forward, "forward was replaced"),
    ],
)
def test_a_changed_layer_is_refused_with_place_and_way_out(module, change, reason):
    change(module)
    with pytest.raises(ExportError, match=f"module 'net.body' .*{type(module).__name__}.*{reason}") as caught:
        constructor(module, "net.body")
    assert "write it as a module of your own" in str(caught.value)


def test_notes_on_a_layer_are_no_change():
    module = nn.Linear(2, 3)
    module.label = "head"
    assert constructor(module, "head") == "nn.Linear(2, 3)"


def test_a_function_from_elsewhere_is_refused():
    module = encoder_layer(activation=lambda x: x)
    with pytest.raises(ExportError, match=r"'block'.*<lambda> is not a function of torch"):
        constructor(module, "block")


def test_recovery_draws_no_random_numbers():
    module = nn.LSTM(3, 4)
    before = torch.get_rng_state()
    constructor(module, "rnn")
    assert torch.equal(torch.get_rng_state(), before)
