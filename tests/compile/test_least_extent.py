"""Images too small for the windows of a loss are refused, with what is needed and what was given."""

from __future__ import annotations

import pytest
import torch

from lossearch import zoo
from lossearch.compile.input_checker import least_extent
from lossearch.errors import UserError


@pytest.mark.parametrize(
    ("name", "options", "least"), [("ssim", {}, 11), ("ssim", {"size": 7}, 7), ("ms_ssim", {}, 161), ("l1", {}, 0)]
)
def test_the_least_extent_is_what_the_windows_need(name: str, options: dict[str, int], least: int) -> None:
    assert least_extent(zoo.get(name, **options).graph) == least


@pytest.mark.parametrize(
    ("name", "shape"), [("ssim", (10, 40)), ("ssim", ()), ("ms_ssim", (160, 300)), ("ms_ssim", (8,))]
)
def test_too_small_an_image_is_refused(name: str, shape: tuple[int, ...]) -> None:
    image = torch.rand(2, 3, *shape)
    with pytest.raises(UserError, match=r"every spatial axis of length ≥ (11|161); found: space \["):
        zoo.get(name).to_module()(image, image)


@pytest.mark.parametrize(("name", "side"), [("ssim", 11), ("ms_ssim", 161)])
def test_the_smallest_image_has_one_window_at_the_last_scale(name: str, side: int) -> None:
    image = torch.rand(1, 1, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    loss = zoo.get(name).to_module()
    torch.testing.assert_close(loss(image, image), torch.zeros((), dtype=torch.float64), rtol=0.0, atol=1e-9)
    assert loss(image, 1 - image) > 0.1
