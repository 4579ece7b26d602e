"""CoLA on DoRA."""

from __future__ import annotations

from dataclasses import dataclass

from bench.methods.cola import CrossModal
from bench.methods.dora import DoRA


@dataclass
class CoLADoRA(CrossModal, DoRA):  # type: ignore[misc]  # as CoLA
    """DoRA and CoLA's inter-modal path: y = m (W + s B A) x / |W + s B A| + b + s_c B_c Phi(x_c) A_c x.

    A, B and m of DoRA are trained, and A_c, B_c, s_c and Phi. The CoLA paper (Suharitdamrong et al., ICML 2026, arXiv
    2604.03314) suggests other intra-modal methods without measuring them. Here the inter-modal term is added after
    DoRA's, outside its norm. `DoRA` and `CrossModal` describe the two paths.
    """
