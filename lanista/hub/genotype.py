"""Architectures that the cell-based papers found, as the field writes them, and what was published of them."""

from __future__ import annotations

from collections.abc import Sequence

from lanista.hub.catalog import Entry, Known
from lanista.hub.nds import DARTS, ENAS, PNAS, AmoebaNet, NASNet

Pairs = Sequence[tuple[str, int]]
"""(operation, number of its input), two for each node. Inputs 0 and 1 are the cells before, the last being 1."""

NETWORKS = "https://github.com/quark0/darts, cnn/genotypes.py"
TABLE = "https://arxiv.org/abs/1806.09055, table 1"


def genotype(normal: Pairs, reduce: Pairs) -> dict[str, str | int]:
    """The architecture with these cells."""
    architecture: dict[str, str | int] = {}
    for label, pairs in (("normal", normal), ("reduce", reduce)):
        for position, (operation, source) in enumerate(pairs):
            place = f"{2 + position // 2}_{position % 2}"
            architecture |= {f"{label}/op_{place}": operation, f"{label}/input_{place}": source}
    return architecture


NASNET_A = genotype(
    [
        *(("sep_conv_5x5", 1), ("sep_conv_3x3", 0), ("sep_conv_5x5", 0), ("sep_conv_3x3", 0), ("avg_pool_3x3", 1)),
        *(("skip_connect", 0), ("avg_pool_3x3", 0), ("avg_pool_3x3", 0), ("sep_conv_3x3", 1), ("skip_connect", 1)),
    ],
    [
        *(("sep_conv_5x5", 1), ("sep_conv_7x7", 0), ("max_pool_3x3", 1), ("sep_conv_7x7", 0), ("avg_pool_3x3", 1)),
        *(("sep_conv_5x5", 0), ("skip_connect", 3), ("avg_pool_3x3", 2), ("sep_conv_3x3", 2), ("max_pool_3x3", 1)),
    ],
)

AMOEBANET_A = genotype(
    [
        *(("avg_pool_3x3", 0), ("max_pool_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_5x5", 2), ("sep_conv_3x3", 0)),
        *(("avg_pool_3x3", 3), ("sep_conv_3x3", 1), ("skip_connect", 1), ("skip_connect", 0), ("avg_pool_3x3", 1)),
    ],
    [
        *(("avg_pool_3x3", 0), ("sep_conv_3x3", 1), ("max_pool_3x3", 0), ("sep_conv_7x7", 2), ("sep_conv_7x7", 0)),
        *(("avg_pool_3x3", 1), ("max_pool_3x3", 0), ("max_pool_3x3", 1), ("conv_7x1_1x7", 0), ("sep_conv_3x3", 5)),
    ],
)

_PNASNET_5 = [
    *(("sep_conv_5x5", 0), ("max_pool_3x3", 0), ("sep_conv_7x7", 1), ("max_pool_3x3", 1), ("sep_conv_5x5", 1)),
    *(("sep_conv_3x3", 1), ("sep_conv_3x3", 4), ("max_pool_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 1)),
]
PNASNET_5 = genotype(_PNASNET_5, _PNASNET_5)

ENAS_MICRO = genotype(
    [
        *(("avg_pool_3x3", 0), ("sep_conv_3x3", 0), ("skip_connect", 0), ("sep_conv_5x5", 0), ("skip_connect", 0)),
        *(("sep_conv_5x5", 1), ("sep_conv_3x3", 1), ("sep_conv_5x5", 0), ("avg_pool_3x3", 0), ("sep_conv_5x5", 1)),
    ],
    [
        *(("sep_conv_3x3", 1), ("sep_conv_3x3", 1), ("max_pool_3x3", 0), ("avg_pool_3x3", 0), ("sep_conv_5x5", 1)),
        *(("sep_conv_5x5", 3), ("sep_conv_3x3", 1), ("skip_connect", 0), ("max_pool_3x3", 0), ("sep_conv_5x5", 1)),
    ],
)

DARTS_V1 = genotype(
    [
        *(("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 0), ("sep_conv_3x3", 1)),
        *(("skip_connect", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("skip_connect", 2)),
    ],
    [
        *(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 0)),
        *(("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("avg_pool_3x3", 0)),
    ],
)

DARTS_V2 = genotype(
    [
        *(("sep_conv_3x3", 0), ("sep_conv_3x3", 1), ("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),
        *(("sep_conv_3x3", 1), ("skip_connect", 0), ("skip_connect", 0), ("dil_conv_3x3", 2)),
    ],
    [
        *(("max_pool_3x3", 0), ("max_pool_3x3", 1), ("skip_connect", 2), ("max_pool_3x3", 1)),
        *(("max_pool_3x3", 0), ("skip_connect", 2), ("skip_connect", 2), ("max_pool_3x3", 1)),
    ],
)

IMAGENET = {"width": 48, "num_cells": 14, "dataset": "imagenet"}

ENTRIES = (
    Entry(
        "NASNet",
        NASNet,
        "Zoph et al.: Learning Transferable Architectures for Scalable Image Recognition. 2018",
        "https://arxiv.org/abs/1707.07012",
        known=(
            Known(
                "NASNet-A (6 @ 768)",
                NASNET_A,
                f"cells: {NETWORKS}; numbers: {TABLE}",
                {"width": 32},
                parameters=3.3e6,
                accuracy="97.35 % on CIFAR-10 with cutout",
                note="its normal cell puts out its first input, too, which loose ends do not; without, it has 3.06 M",
            ),
        ),
    ),
    Entry(
        "AmoebaNet",
        AmoebaNet,
        "Real et al.: Regularized Evolution for Image Classifier Architecture Search. 2019",
        "https://arxiv.org/abs/1802.01548",
        known=(
            Known(
                "AmoebaNet-A (N=6, F=36)",
                AMOEBANET_A,
                f"cells: {NETWORKS}; numbers: {TABLE}",
                {"width": 36},
                parameters=3.2e6,
                accuracy="96.66 % on CIFAR-10",
                note="the count is of the paper's own code, whose stack differs in details; the one here has 3.15 M",
            ),
        ),
    ),
    Entry(
        "PNAS",
        PNAS,
        "Liu et al.: Progressive Neural Architecture Search. 2018",
        "https://arxiv.org/abs/1712.00559",
        known=(
            Known(
                "PNASNet-5 (N=3, F=48)",
                PNASNET_5,
                f"cell: the paper's, as TensorFlow's slim/nets/nasnet/pnasnet.py has it; numbers: {TABLE}",
                {"width": 48, "num_cells": 11},
                parameters=3.2e6,
                accuracy="96.59 % on CIFAR-10",
                note="the count is of the paper's own code, whose stack differs; the one here has 4.27 M",
            ),
        ),
    ),
    Entry(
        "ENAS",
        ENAS,
        "Pham et al.: Efficient Neural Architecture Search via Parameter Sharing. 2018",
        "https://arxiv.org/abs/1802.03268",
        known=(
            Known(
                "ENAS micro",
                ENAS_MICRO,
                f"cells: https://github.com/melodyguan/enas, scripts/cifar10_micro_final.sh; numbers: {TABLE}",
                {"width": 36, "num_cells": 17},
                parameters=4.6e6,
                accuracy="97.11 % on CIFAR-10 with cutout",
                note="the count is of the paper's own code, whose stack differs; the one here has 3.73 M",
            ),
        ),
    ),
    Entry(
        "DARTS",
        DARTS,
        "Liu, Simonyan and Yang: DARTS: Differentiable Architecture Search. 2019",
        "https://arxiv.org/abs/1806.09055",
        known=(
            Known(
                "DARTS-V2",
                DARTS_V2,
                f"{NETWORKS} and the log of its cnn/test.py",
                {"width": 36},
                parameters=3_349_342,
                accuracy="97.24 % on CIFAR-10 with cutout",
                note="without the auxiliary classifier; the paper rounds to 3.3 M",
            ),
            Known(
                "DARTS-V2 on ImageNet",
                DARTS_V2,
                f"{NETWORKS} and the log of its cnn/test_imagenet.py; multiply-adds: the paper",
                IMAGENET,
                parameters=4_718_752,
                macs=574e6,
                accuracy="73.3 % on ImageNet",
                note="without the auxiliary classifier; the paper does not say what its multiply-adds count: those of "
                "convolutions and classifier are 530 M",
            ),
            Known(
                "DARTS-V1",
                DARTS_V1,
                NETWORKS,
                {"width": 36},
                accuracy="97.00 % on CIFAR-10 with cutout",
                note="the paper's 3.3 M for the first order fit DARTS-V2; the released cells have 3.17 M",
            ),
        ),
    ),
)
"""What `lanista.hub.nds` adds to the catalogue."""
