import pandas as pd
import pytest
import torch

from sktwotower import TwoTowerRecommender
from sktwotower.towers.training._optimizer import RowwiseAdam
from tests.cases import for_each


def table_after(gradients, sparse=False, **params):
    """Return a table of ones, shape (3, 2), after steps with the given gradients."""
    table = torch.nn.Parameter(torch.ones(3, 2))
    optimizer = RowwiseAdam([table], rowwise=True, **params)
    for gradient in gradients:
        gradient = torch.as_tensor(gradient, dtype=torch.float32)
        table.grad = gradient.to_sparse(1) if sparse else gradient
        optimizer.step()
    return table.detach(), optimizer


TWO_STEPS = [[[3.0, 4.0], [0.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0], [0.0, 2.0]]]


@for_each("sparse", [False, True])
def test_two_steps_of_a_table_by_hand(sparse):
    table, _ = table_after(
        TWO_STEPS, sparse, lr=0.1, row_beta=0.5, weight_decay=0.5, eps=0.0
    )
    # Row 0, step 1: mean of squares 12.5, bias-corrected 12.5; decay 1 - 0.1 * 0.5.
    first = 0.95 - 0.4 * 3 / 12.5**0.5, 0.95 - 0.4 * 4 / 12.5**0.5
    # Row 2: (1, 1) has mean square 1; then v = (0.5 * 0.5 + 0.5 * 2) / (1 - 0.25).
    third = 0.95 - 0.4, 0.95 - 0.4
    root = (1.25 / 0.75) ** 0.5
    third = third[0] * 0.95, third[1] * 0.95 - 0.4 * 2 / root
    expected = torch.tensor([first, (1.0, 1.0), third])
    torch.testing.assert_close(table, expected)


@for_each("sparse", [False, True])
def test_rows_may_have_slower_steps(sparse):
    table = torch.nn.Parameter(torch.ones(3, 2))
    table.rates = torch.tensor([1.0, 0.1, 0.0], dtype=torch.float64)
    optimizer = RowwiseAdam([table], lr=0.1, weight_decay=0.0, rowwise=True)
    gradient = torch.ones(3, 2)
    table.grad = gradient.to_sparse(1) if sparse else gradient
    optimizer.step()
    expected = torch.tensor([[0.6, 0.6], [0.96, 0.96], [1.0, 1.0]])
    torch.testing.assert_close(table.detach(), expected)
    kept = optimizer.state[table]["slowness"]
    torch.testing.assert_close(kept, torch.tensor([0.0, 0.9, 1.0]))


@pytest.mark.slow
@for_each("sparse", [False, True])
def test_compiled_steps_of_rows_are_those_of_torch(sparse):
    gradients = torch.randn(6, 5, 3)
    gradients[:, 2] = 0
    gradients[3:, 4] = 0
    tables = []
    for compiled in (False, True):
        table = torch.nn.Parameter(torch.ones(5, 3))
        table.rates = torch.linspace(0.2, 1.0, 5)
        how = {"lr": 0.1, "rowwise": True, "compiled": compiled}
        optimizer = RowwiseAdam([table], **how)
        for gradient in gradients:
            table.grad = gradient.to_sparse(1) if sparse else gradient
            optimizer.step()
        tables.append([table.detach(), *optimizer.state[table].values()])
    torch.testing.assert_close(*tables, atol=2e-6, rtol=2e-6)


def test_rows_without_gradient_keep_their_state():
    _, optimizer = table_after(TWO_STEPS)
    state = next(iter(optimizer.state.values()))
    assert state["steps"].tolist() == [1, 0, 2]
    assert state["second"].numel() == 3  # one number per row


def test_the_step_of_a_row_does_not_depend_on_the_scale_of_its_gradient():
    gradients = torch.randn(5, 3, 2)
    steps = [table_after(gradients * scale)[0] for scale in (1.0, 1e-4, 1e4)]
    torch.testing.assert_close(steps[1], steps[0])
    torch.testing.assert_close(steps[2], steps[0])


def test_what_is_no_table_is_trained_as_by_adamw():
    ours, theirs = (torch.nn.Parameter(torch.ones(4, 3)) for _ in range(2))
    one = RowwiseAdam([ours], lr=0.01, weight_decay=0.3, eps=1e-8)
    other = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.3, eps=1e-8)
    for _ in range(10):
        ours.grad = torch.randn(4, 3)
        theirs.grad = ours.grad.clone()
        one.step()
        other.step()
    torch.testing.assert_close(ours, theirs)


def test_groups_closure_and_parameters_without_gradient():
    table, layer, idle = (torch.nn.Parameter(torch.ones(2, 2)) for _ in range(3))
    groups = [{"params": [table], "rowwise": True}, {"params": [layer, idle]}]
    optimizer = RowwiseAdam(groups, lr=0.1, weight_decay=0.0)

    def closure():
        loss = (table + layer).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 8
    torch.testing.assert_close(table.detach(), torch.full((2, 2), 1 - 0.4))
    torch.testing.assert_close(layer.detach(), torch.full((2, 2), 1 - 0.1))
    assert torch.equal(idle, torch.ones(2, 2))


@for_each(
    "given",
    [
        {"lr": -0.1},
        {"lr": "fast"},
        {"row_beta": 1.0},
        {"eps": -1.0},
        {"weight_decay": None},
        {"betas": 3},
        {"betas": (0.9,)},
        {"betas": (0.9, 2)},
        {"betas": ("a", 0.9)},
    ],
)
def test_rates_out_of_range_are_named(given):
    table = torch.nn.Parameter(torch.ones(2, 3))
    (name,) = given
    with pytest.raises(ValueError, match=rf"{name}\b.* must be .*Got"):
        RowwiseAdam([table], **given)


def test_rates_in_net_params_are_checked():
    events = pd.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1]})
    model = TwoTowerRecommender(net_params={"optimizer__betas": 3})
    with pytest.raises(ValueError, match=r"net_params .* betas must be a pair .* 3\."):
        model.fit(events)
