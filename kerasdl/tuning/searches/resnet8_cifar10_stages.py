"""Blocks, widths, depths and kernels of three stages on CIFAR-10, with no more multiply-adds than ResNet-8."""

from kerasdl.tuning import Search, choice, integer

STAGES = 1, 2, 3

search = Search(
    recipe="resnet8_cifar10", oracle="evolution", trials=80,
    costs=("multiply_adds",), limits={"multiply_adds": 12_239_488},
    overrides={"model": "stages", "epochs": 6},
    space={
        **{f"model_args.block{stage}": choice("conv", "residual", "convnext", "attention") for stage in STAGES},
        **{f"model_args.width{stage}": choice(16, 24, 32, 48, 64, 96, 128, 192) for stage in STAGES},
        **{f"model_args.depth{stage}": integer(1, 4) for stage in STAGES},
        **{f"model_args.kernel{stage}": choice(3, 5, 7).when({f"model_args.block{stage}": ["conv", "residual",
                                                                                          "convnext"]})
           for stage in STAGES},
    },
)
