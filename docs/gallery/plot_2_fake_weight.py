"""
What ``fake_weight`` does
=========================

The data are two Gaussians, the generator has already learned them, and the negatives lie in the gap between them.
Without negatives the output of the discriminator in the gap is arbitrary. With negatives it is low there, and at the
data it approaches ``1 / (1 + fake_weight)``.
"""

import matplotlib.pyplot as plt
import torch

from nda_mm.losses import discriminator_loss

generator = torch.Generator().manual_seed(0)


def data(count):
    side = 2 * torch.randint(2, (count, 1), generator=generator) - 1
    return side + 0.15 * torch.randn(count, 1, generator=generator)


def negatives(count):
    return 0.2 * torch.randn(count, 1, generator=generator)


grid = torch.linspace(-2, 2, 200)[:, None]
figure, axis = plt.subplots(figsize=(6, 3.5))
for fake_weight in (1.0, 0.5, 0.25):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(1, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(400):
        logits = network(torch.cat([data(256), data(256), negatives(256)])).chunk(3)  # real, generated, negative
        terms = discriminator_loss(*logits, kind="logistic", fake_weight=fake_weight)
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    with torch.no_grad():
        gap, mode = network(torch.tensor([[0.0], [1.0]])).sigmoid().flatten().tolist()
    print(f"fake_weight={fake_weight}: D is {gap:.2f} in the gap and {mode:.2f} at the data")
    axis.plot(grid, network(grid).sigmoid().detach(), label=f"fake_weight={fake_weight}")
axis.hist(data(4000).flatten().numpy(), bins=60, density=True, color="0.85", label="data")
axis.set(xlabel="x", ylabel="D(x)")
axis.legend()
