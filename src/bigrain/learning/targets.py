"""What the scores of a batch should look like, and how far they are from it.

Of query q over the documents of a batch, with t the teacher's scores and P its judged ones,

    target = (1 - share) softmax(t / T) + share uniform(P),
    loss   = - sum_d target_d log softmax(s / T)_d.

share = 0 is ListNet as in Distill-VQ (papers/A-1 section 9), share = 1 the contrastive loss with
sampled softmax (section 3). A judged document is never a negative of its query.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cross_entropy", "target"]


def target(teacher: Tensor, judged: Tensor, share: float) -> Tensor:
    """(Q, N) of the teacher's logits (Q, N), -inf where it says nothing, and a mask of the judged.

    A query without judged documents in the batch follows its teacher alone.
    """
    listed = torch.softmax(teacher, dim=1)
    count = judged.sum(dim=1, keepdim=True)
    even = judged / count.clamp(min=1)
    share_of = share * (count > 0).to(listed.dtype)
    return (1 - share_of) * listed + share_of * even


def cross_entropy(logits: Tensor, wanted: Tensor, weights: Tensor) -> Tensor:
    """Mean over queries, weighted, of the cross entropy of softmax(logits) and `wanted` (Q, N)."""
    each = -(wanted * torch.log_softmax(logits, dim=1)).sum(dim=1)
    return (weights * each).sum() / weights.sum()
