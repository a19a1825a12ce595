"""The rows' networks in PyTorch: normalised images (B, C, H, W) in, logits out. And Keras' weights for them."""

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.rows import CLASSES


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.head = nn.Linear(64 * 5 * 5, CLASSES)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.head(x.permute(0, 2, 3, 1).flatten(1))  # channels last, as the memory already is


def conv(inside, outside, stride=1):
    return nn.Conv2d(inside, outside, 3, stride, 1, bias=False)


class Stage(nn.Module):
    """Of airbench: a convolution and a pool, and one more convolution."""

    def __init__(self, inside, width):
        super().__init__()
        self.conv1, self.norm1 = conv(inside, width), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = conv(width, width), nn.BatchNorm2d(width)

    def forward(self, x):
        x = F.relu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.relu(self.norm2(self.conv2(x)))


class Airbench(nn.Sequential):
    def __init__(self):
        super().__init__(conv(3, 24), nn.BatchNorm2d(24), nn.ReLU(), Stage(24, 64), Stage(64, 256), Stage(256, 256),
                         nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(256, CLASSES))


class CnnMnist(nn.Sequential):
    def __init__(self):
        parts, inside = [], 1
        for width, pool in ((32, True), (48, False), (48, True), (96, False), (96, False)):
            parts += [conv(inside, width), nn.MaxPool2d(2) if pool else nn.Identity(), nn.BatchNorm2d(width), nn.ReLU()]
            inside = width
        super().__init__(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, CLASSES))


class Block(nn.Module):
    """Of ResNet; where the shape changes the shortcut skips pixels and adds empty channels."""

    def __init__(self, inside, width, stride):
        super().__init__()
        self.conv1, self.norm1 = conv(inside, width, stride), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = conv(width, width), nn.BatchNorm2d(width)
        self.stride = stride

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if self.stride > 1:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, x.shape[1]))
        return F.relu(x + y)


class ResNet18(nn.Sequential):
    def __init__(self):
        widths = (64, 64, 128, 256, 512)
        blocks = [Block(inside if not j else width, width, 2 if i and not j else 1)
                  for i, (inside, width) in enumerate(zip(widths, widths[1:], strict=False)) for j in range(2)]
        super().__init__(conv(3, 64), nn.BatchNorm2d(64), nn.ReLU(), *blocks,
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES))


class Encoder(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, d)
        x = x + self.out(y)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Tokens(nn.Module):
    def __init__(self, count, width, class_token):
        super().__init__()
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, width)) if class_token else None
        self.table = nn.Parameter(0.02 * torch.randn(1, class_token + count, width))

    def forward(self, x):
        return (x if self.token is None else torch.cat([self.token.expand(len(x), -1, -1), x], 1)) + self.table


class ViT(nn.Module):
    """It reads its class token, or without one the mean of the others."""

    def __init__(self, width=192, depth=12, heads=3, patch=4, side=32, channels=3, class_token=True):
        super().__init__()
        self.class_token = class_token
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.tokens = Tokens((side // patch) ** 2, width, class_token)
        self.blocks = nn.Sequential(*(Encoder(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width, 1e-6), nn.Linear(width, CLASSES)

    def forward(self, x):
        x = self.norm(self.blocks(self.tokens(self.patches(x).flatten(2).transpose(1, 2))))
        return self.head(x[:, 0] if self.class_token else x.mean(1))


NETWORKS = {
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, CLASSES)),
    "mlp": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, CLASSES)),
    "mlp_mnist": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
                                       nn.Linear(512, CLASSES)),
    "cnn_mnist": CnnMnist, "cnn": Cnn, "airbench": Airbench, "resnet18": ResNet18, "vit": ViT,
    "vit_mnist": lambda: ViT(width=128, depth=2, heads=4, patch=14, side=28, channels=1, class_token=False),
}


def build(name: str) -> nn.Module:
    """The network, started as Keras starts it, in the memory format in which convolutions are fastest."""
    model = NETWORKS[name]()
    he = name in ("mlp", "mlp_mnist", "cnn_mnist", "airbench", "resnet18")
    for layer in model.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            if he and not (isinstance(layer, nn.Linear) and layer.out_features == CLASSES):
                nn.init.kaiming_normal_(layer.weight)
            else:
                nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return model.to(memory_format=torch.channels_last)


def from_keras(model: nn.Module, weights) -> None:
    """Give the network the trainable weights of its plain Keras form: the same numbers in PyTorch's layout."""
    weights = [torch.tensor(weight) for weight in weights]

    def take(count):
        taken, weights[:count] = weights[:count], []
        return taken

    def fill(layer):
        if isinstance(layer, Encoder):
            for part in (layer.norm1, layer.qkv, layer.out, layer.norm2, layer.up, layer.down):  # Keras' order
                fill(part)
        elif isinstance(layer, nn.Linear) and layer.out_features == 3 * layer.in_features:
            parts = take(6)  # kernel (D, heads, D / heads) and bias of query, key and value
            layer.weight.copy_(torch.cat([part.flatten(1).T for part in parts[::2]]))
            layer.bias.copy_(torch.cat([part.flatten() for part in parts[1::2]]))
        elif isinstance(layer, (nn.Linear, nn.Conv2d)):
            kernel = take(1)[0]
            turned = kernel.permute(3, 2, 0, 1) if kernel.ndim == 4 else kernel.reshape(layer.in_features, -1).T
            layer.weight.copy_(turned)
            if layer.bias is not None:
                layer.bias.copy_(take(1)[0])
        elif list(layer.parameters(recurse=False)):  # norms and tokens
            for parameter in layer.parameters(recurse=False):
                parameter.copy_(take(1)[0])
        else:
            for part in layer.children():
                fill(part)

    with torch.no_grad():
        fill(model)
    if weights:
        raise ValueError(f"{len(weights)} weights are left over")
