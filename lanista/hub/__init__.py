"""Ready model spaces from the literature."""

from lanista.hub.autoformer import AutoFormer
from lanista.hub.catalog import Entry, Known
from lanista.hub.decoder import Decoder
from lanista.hub.enas import ENASMacro
from lanista.hub.fbnet import FBNet
from lanista.hub.index import CATALOG, known
from lanista.hub.mnasnet import MnasNet
from lanista.hub.mobilenetv3 import MobileNetV3
from lanista.hub.nasbench101 import NASBench101
from lanista.hub.nasbench201 import NASBench201
from lanista.hub.nds import DARTS, ENAS, PNAS, AmoebaNet, NASNet
from lanista.hub.ofa import OFA
from lanista.hub.proxylessnas import ProxylessNAS
from lanista.hub.shufflenetv2 import ShuffleNetV2

__all__ = [
    "CATALOG",
    "DARTS",
    "ENAS",
    "OFA",
    "PNAS",
    "AmoebaNet",
    "AutoFormer",
    "Decoder",
    "ENASMacro",
    "Entry",
    "FBNet",
    "Known",
    "MnasNet",
    "MobileNetV3",
    "NASBench101",
    "NASBench201",
    "NASNet",
    "ProxylessNAS",
    "ShuffleNetV2",
    "known",
]
