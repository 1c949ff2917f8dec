"""Models that nobody wrote for search, each with an input."""

import torch
from torch import nn
from torch.nn import functional


class Basic(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        skip = x if self.downsample is None else self.downsample(x)
        return functional.relu(self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x))))) + skip)


class Bottleneck(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        inner = outputs // 2
        self.body = nn.Sequential(
            nn.Conv2d(inputs, inner, 1),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=4),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, outputs, 1),
            nn.BatchNorm2d(outputs),
        )
        same = stride == 1 and inputs == outputs
        self.skip = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x):
        return functional.relu(self.body(x) + self.skip(x))


class ResNet(nn.Module):
    def __init__(self, block=Basic):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.layer1 = nn.Sequential(block(16, 16, 1), block(16, 16, 1))
        self.layer2 = nn.Sequential(block(16, 32, 2), block(32, 32, 1), block(32, 32, 1))
        self.fc = nn.Linear(32, 5)

    def forward(self, x):
        return self.fc(self.layer2(self.layer1(self.stem(x))).mean((2, 3)))


class Inverted(nn.Module):
    def __init__(self, inputs, outputs, stride, factor=3):
        super().__init__()
        inner = inputs * factor
        self.conv = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(inplace=True),
            nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(inplace=True),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(outputs, 8, 1), nn.ReLU(), nn.Conv2d(8, outputs, 1), nn.Sigmoid()
        )
        self.same = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.conv(x)
        y = y * self.squeeze(y)
        return x + y if self.same else y


class MobileNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1),
            nn.Sequential(Inverted(16, 24, 2), Inverted(24, 24, 1)),
            nn.Sequential(Inverted(24, 32, 1), Inverted(32, 32, 1), Inverted(32, 32, 1)),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.1), nn.Linear(32, 5))

    def forward(self, x):
        return self.classifier(torch.flatten(functional.adaptive_avg_pool2d(self.features(x), 1), 1))


class DenseNet(nn.Module):
    def __init__(self, growth=8, steps=3):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.steps = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(16 + i * growth), nn.ReLU(), nn.Conv2d(16 + i * growth, growth, 3, padding=1))
            for i in range(steps)
        )
        self.head = nn.Linear((16 + steps * growth) * 4, 5)

    def forward(self, x):
        features = [self.stem(x)]
        for step in self.steps:
            features.append(step(torch.cat(features, 1)))
        return self.head(functional.max_pool2d(torch.cat(features, 1), 4).flatten(1))


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down1 = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.down2 = nn.Sequential(nn.Conv2d(16, 32, 3, 2, 1), nn.GroupNorm(8, 32), nn.SiLU())
        self.up = nn.ConvTranspose2d(32, 16, 2, 2)
        self.out = nn.Conv2d(32, 2, 1)

    def forward(self, x):
        high = self.down1(x)
        return self.out(torch.cat([self.up(self.down2(high)), high], 1))


class Shuffle(nn.Module):
    """Channels are split, and shuffled between groups."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3)
        self.branch = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        one, other = self.stem(x).chunk(2, 1)
        x = torch.cat([one, self.branch(other)], 1)
        b, c, h, w = x.shape
        x = x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)
        return self.head(x.mean((-1, -2)))


class Attention(nn.Module):
    """Packed projections, as in timm."""

    def __init__(self, dim, heads):
        super().__init__()
        self.num_heads, self.head_dim = heads, dim // heads
        self.scale = self.head_dim**-0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        x = ((q * self.scale) @ k.transpose(-2, -1)).softmax(-1) @ v
        return self.proj(x.transpose(1, 2).reshape(b, n, self.num_heads * self.head_dim))


class Coupled(nn.Module):
    """Takes the size of a head from the width that it sees, as many do."""

    def __init__(self, dim, heads):
        super().__init__()
        self.num_heads, self.scale = heads, (dim // heads) ** -0.5
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, c // self.num_heads).permute(2, 0, 3, 1, 4)
        x = ((q @ k.transpose(-2, -1)) * self.scale).softmax(-1) @ v
        return self.proj(x.transpose(1, 2).reshape(b, n, c))


class Einsum(nn.Module):
    """Separate projections, einsum, and heads that only the shape knows."""

    def __init__(self, dim, heads):
        super().__init__()
        self.depth = dim // heads
        self.q, self.k, self.v = (nn.Linear(dim, dim) for _ in range(3))
        self.o = nn.Linear(dim, dim, bias=False)

    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (-1, self.depth)) for layer in (self.q, self.k, self.v))
        weights = torch.einsum("bnhd,bmhd->bhnm", q, k).div(self.depth**0.5).softmax(-1)
        return self.o(torch.einsum("bhnm,bmhd->bnhd", weights, v).flatten(2))


class Torch(nn.Module):
    """torch's own attention."""

    def __init__(self, dim, heads):
        super().__init__()
        self.inner = nn.MultiheadAttention(dim, heads, batch_first=True)

    def forward(self, x):
        return self.inner(x, x, x, need_weights=False)[0]


class Block(nn.Module):
    def __init__(self, dim, heads, attention):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = attention(dim, heads)
        self.fc1, self.fc2 = nn.Linear(dim, 2 * dim), nn.Linear(2 * dim, dim)
        self.gamma = nn.Parameter(torch.rand(dim))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.gamma * self.fc2(functional.gelu(self.fc1(self.norm2(x))))


class ViT(nn.Module):
    def __init__(self, attention=Attention, dim=32, heads=4, depth=2):
        super().__init__()
        self.embed_dim = dim
        self.patch = nn.Conv2d(3, dim, 4, 4)
        self.token = nn.Parameter(torch.rand(1, 1, dim))
        self.position = nn.Parameter(torch.rand(1, 5, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads, attention) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 5)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


class Mixer(nn.Module):
    """One layer mixes positions, not channels; and a gate splits its channels."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(6, 16)
        self.tokens = nn.Linear(4, 4)
        self.gated = nn.Linear(16, 48)
        self.down = nn.Linear(24, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        x = self.embed(x)
        x = x + self.tokens(x.transpose(1, 2)).transpose(1, 2)
        one, other = self.gated(x).chunk(2, -1)
        return self.head((x + self.down(one * other.sigmoid())).amax(1))


class Recurrent(nn.Module):
    """Nobody can follow channels through an LSTM; the layer after it has some of its own."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 16)
        self.lstm = nn.LSTM(16, 16, batch_first=True)
        self.up, self.down = nn.Linear(16, 24), nn.Linear(24, 5)
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        return self.down(self.up(self.lstm(self.embed(x))[0][:, -1]).relu())


class Tied(nn.Module):
    """Output weights are the embedding's."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 16)
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)
        self.head = nn.Linear(16, 9, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        x = self.embed(x)
        return {"logits": self.head(x + self.down(self.up(x).relu())), "cache": None}


def mlp():
    return nn.Sequential(
        nn.Linear(6, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 5)
    )


IMAGE, SMALL, ROWS, TOKENS = (2, 3, 8, 8), (2, 3, 8, 8), (3, 6), (2, 4)

MODELS = {
    "mlp": (mlp, ROWS),
    "resnet": (ResNet, IMAGE),
    "bottleneck": (lambda: ResNet(Bottleneck), IMAGE),
    "mobilenet": (MobileNet, IMAGE),
    "densenet": (DenseNet, IMAGE),
    "unet": (UNet, IMAGE),
    "shuffle": (Shuffle, IMAGE),
    "vit": (ViT, IMAGE),
    "vit-einsum": (lambda: ViT(Einsum), IMAGE),
    "vit-coupled": (lambda: ViT(Coupled), IMAGE),
    "vit-torch": (lambda: ViT(Torch), IMAGE),
    "mixer": (Mixer, (2, 4, 6)),
    "recurrent": (Recurrent, TOKENS),
    "tied": (Tied, TOKENS),
}

RELU_NETS = ("mlp", "resnet", "bottleneck", "densenet", "shuffle", "tied")
"""A channel whose weights are zero has no effect in these."""


def make(name, seed=0):
    """A model in evaluation mode with random weights and statistics, and an input for it."""
    build, shape = MODELS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build().eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.normal_(module.running_mean)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
                nn.init.normal_(module.bias)
        example = torch.randint(0, 9, shape) if shape is TOKENS else torch.randn(shape)
    return model, example
