"""Embeddings in two dimensions: against a singular value decomposition, and whose snapshots a path joins."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from encoder_study import write_encoders

from analysis.plan import plan_analysis
from analysis.reading.maps import principal_components
from analysis.report import latent
from zoo.storage.store import Store


@pytest.fixture(scope="module")
def plan(tmp_path_factory, small_zoo):
    study = write_encoders(Store(tmp_path_factory.mktemp("encoders")), small_zoo, {"weight-statistics": 1})
    return plan_analysis(small_zoo, study)


@pytest.mark.parametrize("shape", [(40, 6), (6, 40)])
def test_components_are_those_of_a_singular_value_decomposition(shape):
    features_ME = np.random.default_rng(0).normal(size=shape) * np.arange(1, shape[1] + 1)
    standardized_ME = (features_ME - features_ME.mean(0)) / features_ME.std(0)
    left, values, _ = np.linalg.svd(standardized_ME, full_matrices=False)
    places_M2, shares_2 = principal_components(features_ME)
    assert np.abs(places_M2) == pytest.approx(np.abs(left[:, :2] * values[:2]), abs=1e-9)
    assert shares_2 == pytest.approx(values[:2] ** 2 / (values**2).sum())


def test_one_feature_is_a_line():
    places_M2, shares_2 = principal_components(np.arange(5.0)[:, None])
    assert (places_M2[:, 1] == 0).all()
    assert shares_2.tolist() == pytest.approx([1, 0])


def test_a_path_joins_the_snapshots_of_one_member_by_epoch(plan, small_zoo):
    maps = plan.maps()
    test = small_zoo.population("test")
    assert [each.name for each in maps.maps if "UMAP" not in each.name] == ["weight-statistics"]
    assert all(len(values) == len(test) for values in maps.columns.values())
    assert maps.paths
    ids, epochs = test.column("id"), test.column("epoch")
    for rows in maps.paths:
        assert len(set(ids[rows])) == 1
        assert epochs[rows].tolist() == sorted(epochs[ids == ids[rows[0]]])


def test_umap_is_drawn_where_it_is_installed(plan, monkeypatch):
    class Umap:
        def __init__(self, **_):
            pass

        def fit_transform(self, features_ME):
            return features_ME[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap, __spec__=SimpleNamespace()))
    assert [each.name for each in plan.maps().maps] == ["weight-statistics", "weight-statistics, UMAP"]


def test_categories_beyond_the_colors_are_one():
    names = np.array([f"name {number}" for number in range(latent.CATEGORIES + 5)] * 2)
    column = latent._column(names)
    assert max(column["values"]) == latent.CATEGORIES - 1
    assert column["names"][-1] == "others"
    assert len(column["names"]) == latent.CATEGORIES
