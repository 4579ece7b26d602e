"""CoLA on AdaLoRA."""

from __future__ import annotations

from dataclasses import dataclass

from bench.methods.adalora import AdaLoRA
from bench.methods.cola import CrossModal


@dataclass
class CoLAAdaLoRA(CrossModal, AdaLoRA):
    """AdaLoRA and CoLA's inter-modal path: y = W x + b + s B (E * A) x + s_c B_c Phi(x_c) A_c x.

    AdaLoRA's A, B and E are trained, and A_c, B_c, s_c and Phi. AdaLoRA's ranks are allocated in the intra-modal path
    only; the inter-modal one has the rank that AdaLoRA comes to on average. After the CoLA paper (Suharitdamrong et
    al., ICML 2026, arXiv 2604.03314), which does not measure it. `AdaLoRA` and `CrossModal` tell of the two.
    """
