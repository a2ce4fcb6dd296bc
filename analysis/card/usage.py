"""How to read, regenerate and cite a zoo, in words that can be copied."""

from __future__ import annotations

import json

from analysis.card.record import Card
from analysis.report.reproduce import generate_commands

LOCAL_STORE = "./store"


def python_snippet(card: Card) -> str:
    """Reading with this library."""
    address, name = card.about["address"], card.about["zoo"]
    opened = f'"{address}"' if "://" in address else f'"{name}", store="{LOCAL_STORE}"'
    reading = f"""population = zoo.population("train", epochs="last")
weights_MP = population.weights_MP  # torch float32 [members, {card.layouts["parameters"][0]}]
module = population.architectures[population.architecture_M[0]].to_module(weights_MP[0])"""
    if len(card.layouts) > 1:
        reading = """for population in zoo.populations("train", epochs="last"):
    print(population.parameters, population.weights_MP.shape)"""
    applied = "\ninputs = zoo.dataset().test.inputs  # what they are applied to" if card.about["dataset"] else ""
    return f"""from zoo import Zoo

zoo = Zoo.open({opened})
table = zoo.members  # a pandas DataFrame, one row for each snapshot, without weights
{reading}{applied}"""


def duckdb_snippet(card: Card) -> str:
    """Reading with DuckDB."""
    choices = card.axes[(card.axes["kind"] == "choice") & (card.axes["name"] != "architecture")]["name"]
    by = next((name for name in choices if " " not in name), "split")
    return f"""SELECT {by}, count(*) AS members, avg({card.test}) AS score
FROM '{_shards(card)}/*.parquet'
WHERE epoch = {card.epochs["epoch"].iloc[-1]} AND NOT diverged
GROUP BY {by} ORDER BY score DESC"""  # noqa: S608 (it is shown, not run)


def pandas_snippet(card: Card) -> str:
    """Reading with pandas."""
    weights = f"""
weights = pd.read_parquet(
    shards, columns=["weights"],
    filters=[("split", "==", "test"), ("epoch", "==", {card.epochs["epoch"].iloc[-1]})],
)["weights"]  # one float32 array for each snapshot"""
    return f"""import pandas as pd

shards = "{_shards(card)}"
table = pd.read_parquet(shards, columns=["member", "epoch", "split", "{card.test}"]){
        weights if len(card.layouts) == 1 else ""
    }"""


def regenerate_snippet(card: Card) -> str:
    """The commands that make the zoo and this card again."""
    about, sample = card.about, card.about["sample"]
    lines = generate_commands(about["recipe"], about["members"]) if not about["imported"] else [
        "# imported, not generated: import the same source again", f"# {json.dumps(about['recipe'])}"
    ]  # fmt: skip
    options = f"--members {sample['members']} --examples {sample['examples']} --seed {sample['seed']}"
    return "\n".join([*lines, f"zooscale verify {about['zoo']}", f"zooscale card {about['zoo']} {options}"])


def citation(card: Card) -> str:
    """A BibTeX entry that names the very weights by their hash."""
    about = card.about
    version = about["environment"].get("libraries", {}).get("zooscale", "")
    return f"""@misc{{{about["zoo"]},
  title = {{Model zoo {about["zoo"]}: {about["members"]} networks}},
  year = {{{about["created"][:4]}}},
  howpublished = {{{f"{'imported' if about['imported'] else 'generated'} with zooscale {version}".strip()}}},
  note = {{content sha256 {about["content_sha256"]}}}
}}"""


def _shards(card: Card) -> str:
    """The folder of all shards."""
    address = card.about["address"]
    return f"{address if '://' in address else f'{LOCAL_STORE}/{address}'}/shards"


SNIPPETS = {
    "Python": python_snippet,
    "DuckDB": duckdb_snippet,
    "pandas": pandas_snippet,
    "Regenerate": regenerate_snippet,
    "Cite": citation,
}
