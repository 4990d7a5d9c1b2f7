"""The compiled ops, or their plain-torch versions if pc_ssl._C is missing. Import ops from here."""

import warnings

import torch

try:
    import pc_ssl._C  # noqa: F401  (registers torch.ops.pc_ssl.*)
except ImportError as error:
    from pc_ssl.ops import plain

    plain.register()
    warnings.warn(
        f"pc_ssl._C does not load ({error}), so region pooling, sparse convolution and the overlap of boxes run in "
        "plain torch: poolings take several times as long, evaluation of detection much longer; results are the same. "
        "Install a wheel of pc-ssl for this torch, or build it with `pip install --no-build-isolation -e .`",
        RuntimeWarning,
        stacklevel=2,
    )

compiled = torch.ops.pc_ssl
