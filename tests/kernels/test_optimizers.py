"""The optimisers against their definitions, and their closed forms for idle steps."""

from __future__ import annotations

import numpy as np
import pytest

from sqlml.kernels.optimizers import RULES, Dense, Ftrl, Sparse

torch = pytest.importorskip("torch")


def number(t):
    """Steps are counted in a tensor."""
    return torch.tensor([t])


def gradients(steps, rows, width, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal((steps, rows, width)).astype(np.float32))


@pytest.mark.parametrize("l1,l2", [(0.0, 0.0), (0.02, 0.0), (0.0, 0.3), (0.02, 0.3)])
@pytest.mark.parametrize("name", ["ADAGRAD", "FTRL", "SGD", "ADAM", "RMSPROP"])
def test_rows_that_wait_catch_up_exactly(name, l1, l2):
    rule, steps, rows = RULES[name](0.05, l1, l2), 60, 5
    if not rule.lazy:
        pytest.skip("this rule is used on whole tables when it has penalties")
    g = gradients(steps, rows, 3)
    start = gradients(1, rows + 1, 3, seed=1)[0]
    start[-1] = 0
    rng = np.random.default_rng(2)
    dense, state = start[:rows].double(), rule.start(start[:rows].double())
    sparse = Sparse(rule, start.clone())
    for t in range(1, steps + 1):
        # Row 4 waits for the first 40 steps; code 5 stands for "none"; one code comes twice.
        codes = rng.choice(rows - (t < 40), size=2, replace=False).tolist()
        codes = torch.tensor([*codes, codes[0], rows if t % 7 == 0 else codes[0]])
        full = torch.zeros(rows, 3, dtype=torch.float64)
        named = codes < rows
        full.index_add_(0, codes[named], g[t - 1, :4][named].double())
        seen = sparse.gather(codes, number(t - 1))
        np.testing.assert_allclose(seen[:3], dense[codes[:3]], atol=2e-5, rtol=1e-4)
        assert t % 7 or not seen[3].any()
        sparse.step(codes, g[t - 1, :4].clone(), number(t))
        rule.step(dense, full, state, number(t))
    np.testing.assert_allclose(sparse.weights(number(steps))[:rows], dense, atol=2e-5, rtol=1e-4)
    assert not sparse.weights(number(steps))[-1].any()


@pytest.mark.parametrize("name", ["ADAM", "ADAGRAD", "RMSPROP", "SGD"])
def test_steps_are_those_of_torch(name):
    w = gradients(1, 4, 3, seed=1)[0].double()
    other = w.clone().requires_grad_(True)
    make = {
        "ADAM": lambda: torch.optim.Adam([other], lr=0.1),
        "ADAGRAD": lambda: torch.optim.Adagrad([other], lr=0.1, initial_accumulator_value=0.1, eps=0),
        "RMSPROP": lambda: torch.optim.RMSprop([other], lr=0.1, alpha=0.9, eps=1e-7),
        "SGD": lambda: torch.optim.SGD([other], lr=0.1),
    }
    optimizer, grad = make[name](), torch.zeros_like(w)
    dense = Dense(RULES[name](0.1), [w], [grad])
    for t, g in enumerate(gradients(20, 4, 3), start=1):
        grad.copy_(g)
        other.grad = g.double()
        dense.step(number(t))
        optimizer.step()
    np.testing.assert_allclose(w, other.detach(), rtol=1e-9, atol=1e-12)


def test_ftrl_minimises_its_definition():
    """w(t+1) = argmin g(1..t) w + sum_s (sigma_s / 2) (w - w_s)^2 + l1 |w| + l2 w^2, by grid search."""
    a, l1, l2 = 0.1, 0.5, 0.2
    rule = Ftrl(a, l1, l2)
    w = torch.zeros(1, 1, dtype=torch.float64)
    state = rule.start(w)
    rng = np.random.default_rng(0)
    grid = np.linspace(-2, 2, 400_001)
    total, sigmas, places, n = 0.0, [np.sqrt(0.1) / a], [0.0], 0.1
    for t in range(1, 15):
        g = rng.standard_normal() + 0.7
        sigmas.append((np.sqrt(n + g * g) - np.sqrt(n)) / a)
        places.append(w.item())
        n, total = n + g * g, total + g
        rule.step(w, torch.tensor([[g]], dtype=torch.float64), state, number(t))
        cost = total * grid + l1 * np.abs(grid) + l2 * grid**2
        cost += sum(s / 2 * (grid - p) ** 2 for s, p in zip(sigmas, places, strict=True))
        assert w.item() == pytest.approx(grid[cost.argmin()], abs=2e-5)


def test_ftrl_starts_from_given_weights():
    w = torch.tensor([[0.3, -0.2, 0.0]], dtype=torch.float64)
    rule = Ftrl(0.1, 0.05, 0.1)
    state = rule.start(w)
    kept = w.clone()
    rule.step(w, torch.zeros_like(w), state, 1)
    np.testing.assert_allclose(w, kept, atol=1e-12)


def test_l1_makes_exact_zeros_and_l2_shrinks():
    g = gradients(50, 6, 4)
    for name in ("SGD", "ADAGRAD", "FTRL"):
        sizes = []
        for l1, l2 in ((0.0, 0.0), (20.0, 0.0), (0.0, 20.0)):
            w = torch.zeros(6, 4)
            rule = RULES[name](0.1, l1, l2)
            state = rule.start(w)
            for t in range(50):
                rule.step(w, g[t].clone(), state, t + 1)
            sizes.append(w.abs().mean().item())
            assert bool((w == 0).any()) == bool(l1)
        assert sizes[1] < sizes[0] and sizes[2] < 0.5 * sizes[0]
