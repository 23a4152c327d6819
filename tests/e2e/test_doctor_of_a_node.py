"""The doctor at a whole node that is at work."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Hospital

pytestmark = pytest.mark.orthanc


def test_a_node_at_work_is_well(hospital: Hospital) -> None:
    found = json.loads(hospital.node.cli("doctor", "--json"))
    assert found["wrong"] == 0
    told = {(one["area"], one["words"]) for one in found["findings"] if one["level"] == "ok"}
    for area, words in (
        ("database", "its schema is this version's"),
        ("queue", "the embedded server answers"),
        ("workers", "1 at work with"),
        ("ports", f"listener.port {hospital.node.port} answers as FAPS"),
        ("ports", f"web.port {hospital.node.http_port} answers, the node is ready"),
        ("destinations", "answers C-ECHO"),
    ):
        assert any(area == one and words in said for one, said in told), (area, words, told)
