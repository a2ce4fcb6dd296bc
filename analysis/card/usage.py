"""How to read, regenerate and cite a zoo, in words that can be copied."""

from __future__ import annotations

from analysis.card.record import Card
from analysis.pages.commands import zoo_commands

LOCAL_STORE = "./store"
PYTHON = """from zooscale import Zoo

zoo = Zoo.open({opened})
table = zoo.members  # a pandas DataFrame, one row for each snapshot, without weights
"""
ONE_LAYOUT = """population = zoo.population("train", epochs="last")
weights_MP = population.weights_MP  # torch float32 [members, {parameters}]
module = population.architectures[population.architecture_M[0]].to_module(weights_MP[0])"""
SEVERAL_LAYOUTS = """for population in zoo.populations("train", epochs="last"):
    print(population.parameters, population.weights_MP.shape)"""
INPUTS = "\ninputs = zoo.dataset().test.inputs  # what they are applied to"
DUCKDB = """SELECT {by}, count(*) AS members, avg({test}) AS score
FROM '{shards}/*.parquet'
WHERE epoch = {epoch} AND NOT diverged
GROUP BY {by} ORDER BY score DESC"""
PANDAS = """import pandas as pd

shards = "{shards}"
table = pd.read_parquet(shards, columns=["member", "epoch", "split", "{test}"])"""
PANDAS_WEIGHTS = """
weights = pd.read_parquet(
    shards, columns=["weights"],
    filters=[("split", "==", "test"), ("epoch", "==", {epoch})],
)["weights"]  # one float32 array for each snapshot"""
# A BibTeX entry that names the very weights by their hash.
CITATION = """@misc{{{zoo},
  title = {{Model zoo {zoo}: {members} networks}},
  year = {{{year}}},
  howpublished = {{{made}}},
  note = {{content sha256 {content_sha256}}}
}}"""


def snippets(card: Card) -> dict[str, str]:
    """The snippets by their headings."""
    about, sample, one = card.about, card.about["sample"], len(card.layouts) == 1
    address, name = about["address"], about["zoo"]
    choices = card.axes[(card.axes["kind"] == "choice") & (card.axes["name"] != "architecture")]["name"]
    origin = "imported" if about["imported"] else "generated"
    values = {
        **about,
        "opened": f'"{address}"' if "://" in address else f'"{name}", store="{LOCAL_STORE}"',
        "shards": f"{address if '://' in address else f'{LOCAL_STORE}/{address}'}/shards",
        "parameters": card.layouts["parameters"][0],
        "by": next((choice for choice in choices if " " not in choice), "split"),
        "test": card.test,
        "epoch": card.epochs["epoch"].iloc[-1],
        "year": about["created"][:4],
        "made": f"{origin} with zooscale {about['environment'].get('libraries', {}).get('zooscale', '')}".strip(),
    }
    again = [
        *zoo_commands(about["recipe"], about["members"]),
        f"zooscale verify {name}",
        f"zooscale card {name} --members {sample['members']} --examples {sample['examples']} --seed {sample['seed']}",
    ]
    templates = {
        "Python": PYTHON + (ONE_LAYOUT if one else SEVERAL_LAYOUTS) + INPUTS * bool(about["dataset"]),
        "DuckDB": DUCKDB,
        "pandas": PANDAS + PANDAS_WEIGHTS * one,
    }
    filled = {heading: text.format_map(values) for heading, text in templates.items()}
    return {**filled, "Regenerate": "\n".join(again), "Cite": CITATION.format_map(values)}
