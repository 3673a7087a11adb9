"""The largest setting of a method that fits a budget, by bisection."""

from __future__ import annotations

from collections.abc import Callable

from bigrain.errors import BudgetError

__all__ = ["check_budget", "largest"]


def largest(size: Callable[[int], int], low: int, high: int, budget_bytes: int, name: str) -> int:
    """The largest whole number from low to high with size(number) <= budget_bytes.

    `size` must not fall. Raises BudgetError with the smallest size there is.
    """
    check_budget(size(low), budget_bytes, name)
    while low < high:
        middle = (low + high + 1) // 2
        if size(middle) <= budget_bytes:
            low = middle
        else:
            high = middle - 1
    return low


def check_budget(smallest: int, budget_bytes: int | None, name: str) -> None:
    """Raise BudgetError where even the smallest table of this kind is over the budget."""
    if budget_bytes is not None and smallest > budget_bytes:
        raise BudgetError(
            f"{name}: budget_bytes={budget_bytes:,} cannot be met; the smallest table of this "
            f"kind and shape takes {smallest:,} bytes"
        )
