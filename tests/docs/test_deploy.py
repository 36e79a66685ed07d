"""The manifest for Kubernetes and the variables of the page on deployment."""

import re

import kubernetes_validate
import pytest
import yaml

from core.base.paths import PROJECT

MANIFEST = PROJECT / "docs" / "deploy" / "kubernetes.yaml"
OWN = "ray.io/v1"  # of KubeRay, which is not part of Kubernetes


def documents():
    return list(yaml.safe_load_all(MANIFEST.read_text()))


@pytest.mark.parametrize(
    "document", [one for one in documents() if one["apiVersion"] != OWN], ids=lambda one: one["kind"]
)
def test_the_manifest_is_valid(document):
    kubernetes_validate.validate(document, "1.31", strict=True)


def test_the_dashboard_finds_the_cluster_and_both_share_the_storage():
    (cluster,) = [one for one in documents() if one["apiVersion"] == OWN]
    (dashboard,) = [one for one in documents() if one["kind"] == "Deployment"]
    (workers,) = cluster["spec"]["workerGroupSpecs"]
    pods = [dashboard["spec"]["template"]["spec"], workers["template"]["spec"]]
    variables = [{one["name"]: one.get("value") for one in pod["containers"][0]["env"]} for pod in pods]
    assert variables[0]["RAY_ADDRESS"] == f"{cluster['metadata']['name']}-head-svc:6379"
    (token,) = [
        one["valueFrom"]["secretKeyRef"]["name"] for one in pods[0]["containers"][0]["env"] if "TOKEN" in one["name"]
    ]
    assert (cluster["spec"]["authOptions"], token) == ({"mode": "token"}, cluster["metadata"]["name"])
    assert len({one["SLIMSCOPE_STORAGE"] for one in variables}) == 1
    assert len({volume["persistentVolumeClaim"]["claimName"] for pod in pods for volume in pod["volumes"][:1]}) == 1


def test_each_variable_is_one_that_the_program_reads():
    code = "".join(file.read_text() for room in ("core", "dashboard") for file in (PROJECT / room).rglob("*.py"))
    texts = MANIFEST.read_text() + (PROJECT / "docs" / "deploy.md").read_text()
    named = set(re.findall(r"SLIMSCOPE_[A-Z]+", texts))
    assert named >= {"SLIMSCOPE_EXECUTOR", "SLIMSCOPE_STORAGE", "SLIMSCOPE_USERS", "SLIMSCOPE_DB"}
    assert {name for name in named if f'"{name}"' not in code} == set()
