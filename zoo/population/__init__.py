"""Members and populations: weights together with what is needed to know and use them."""

from zoo.population.member import Member
from zoo.population.population import Population, single_architecture

__all__ = ["Member", "Population", "single_architecture"]
