"""CoLA on AdaLoRA."""

from __future__ import annotations

from dataclasses import dataclass

from bench.methods.adalora import AdaLoRA
from bench.methods.cola import CrossModal


@dataclass
class CoLAAdaLoRA(CrossModal, AdaLoRA):  # type: ignore[misc]  # as CoLA
    """AdaLoRA and CoLA's inter-modal path: y = W x + b + s B (E * A) x + s_c B_c Phi(x_c) A_c x.

    A, B and E of AdaLoRA are trained, and A_c, B_c, s_c and Phi. AdaLoRA allocates ranks in the intra-modal path only;
    the inter-modal path has AdaLoRA's mean rank at the end. The CoLA paper (Suharitdamrong et al., ICML 2026, arXiv
    2604.03314) does not measure this combination. `AdaLoRA` and `CrossModal` describe the two paths.
    """
