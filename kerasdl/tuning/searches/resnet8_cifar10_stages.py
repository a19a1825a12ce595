"""Blocks, widths, depths and kernels of three stages on CIFAR-10, with no more multiply-adds than ResNet-8."""

from kerasdl.tuning import Search, choice, integer

STAGES = 1, 2, 3
WIDTHS = (8, 12, 16, 24), (16, 24, 32, 48), (24, 32, 48, 64, 96)  # of twice these, one network in 600 is small enough

search = Search(
    recipe="resnet8_cifar10", oracle="evolution", trials=80,
    costs=("multiply_adds",), limits={"multiply_adds": 12_239_488},
    overrides={"model": "stages", "epochs": 6},
    space={
        "model_args.block1": choice("conv", "residual", "convnext"),  # attention of all places takes 38 M by itself
        **{f"model_args.block{stage}": choice("conv", "residual", "convnext", "attention") for stage in STAGES[1:]},
        **{f"model_args.width{stage}": choice(*widths) for stage, widths in zip(STAGES, WIDTHS, strict=True)},
        **{f"model_args.depth{stage}": integer(1, 2) for stage in STAGES},
        **{f"model_args.kernel{stage}": choice(3, 5, 7).when({f"model_args.block{stage}": ["conv", "residual",
                                                                                          "convnext"]})
           for stage in STAGES},
    },
)
