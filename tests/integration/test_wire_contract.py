"""What the port leans on in pynetdicom 3.0.4: read these again before the pin is moved."""

from __future__ import annotations

import copy
import inspect
import threading
from importlib.metadata import version

import pytest
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom import dul as dul_module
from pynetdicom.association import Association
from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import TRANSITION_TABLE
from pynetdicom.pdu_primitives import SCP_SCU_RoleSelectionNegotiation
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification
from pynetdicom.timer import Timer
from pynetdicom.transport import AssociationSocket, ThreadedAssociationServer

from dicom_node.wire.acceptor import Acceptor
from dicom_node.wire.connection import Connection
from dicom_node.wire.server import Handed, Server
from dicom_node.wire.upper_layer import Stopwatch, UpperLayer
from tests.integration.door import MG, Door, MakeDoor
from tests.peers import wait_until
from tests.raw_sender import ASSOCIATE_AC, Caller

PAIRS = {
    Acceptor: (Association, {"run_reactor", "_run_reactor", "kill"}),
    UpperLayer: (
        DULServiceProvider,
        {"run_reactor", "kill_dul", "stop_dul", "idle_timer_expired"},
    ),
    Connection: (AssociationSocket, {"recv", "send"}),
    Server: (
        ThreadedAssociationServer,
        {
            "server_bind",
            "service_actions",
            "get_request",
            "shutdown",
            "verify_request",
            "process_request",
            "handle_error",
        },
    ),
    Handed: (ThreadedAssociationServer, {"server_bind", "server_activate", "shutdown"}),
    Stopwatch: (Timer, {"start", "stop", "remaining"}),
}


def test_the_version_is_the_one_that_was_read() -> None:
    assert version("pynetdicom") == "3.0.4"


@pytest.mark.parametrize("ours", PAIRS, ids=lambda ours: ours.__name__)
def test_exactly_these_methods_are_replaced_and_take_what_they_took(ours: type) -> None:
    base, names = PAIRS[ours]
    own = {
        name
        for name, value in vars(ours).items()
        if hasattr(base, name) and (inspect.isfunction(value) or isinstance(value, property))
    }
    assert own - {"__init__"} == names
    for name in names:
        theirs, mine = getattr(base, name), getattr(ours, name)
        if inspect.isfunction(theirs):
            assert list(inspect.signature(mine).parameters) == list(
                inspect.signature(theirs).parameters
            ), name


def test_the_loops_that_are_replaced_are_as_they_were_read() -> None:
    """Each of these calls is something that our own loop does in its place."""
    loop = inspect.getsource(DULServiceProvider.run_reactor)
    for call in (
        "_idle_timer.start()", "_dul_ready.set()", "artim_timer.expired", '"Evt18"',
        "_process_recv_primitive()", "_is_transport_event()", "_idle_timer.restart()",
        "state_machine.do_action(event)", "A_ABORT_RQ()",
    ):  # fmt: skip
        assert call in loop
    kill = inspect.getsource(Association.kill)
    for call in ("_reactor_checkpoint.set()", "_kill = True", "is_established = False",
                 "_is_paused = True", "stop_dul()"):  # fmt: skip
        assert call in kill
    turn = inspect.getsource(Association._run_reactor)
    assert turn.count("_reactor_checkpoint.wait()") == 2
    assert turn.index("_reactor_checkpoint.wait()") < turn.index("dimse.get_msg(block=False)")
    reading = inspect.getsource(DULServiceProvider._read_pdu_data)
    assert reading.count("self.socket.recv(") == 2


def test_the_state_machine_ends_what_we_end_as_we_expect() -> None:
    ends = {state: TRANSITION_TABLE["Evt19", state] for state in ("Sta2", "Sta3", "Sta6", "Sta8")}
    assert ends == {"Sta2": "AA-1", "Sta3": "AA-8", "Sta6": "AA-8", "Sta8": "AA-8"}
    assert TRANSITION_TABLE["Evt18", "Sta2"] == TRANSITION_TABLE["Evt18", "Sta13"] == "AA-2"
    assert TRANSITION_TABLE["Evt17", "Sta13"] == "AR-5"
    assert set(dul_module._PDU_TYPES) == {bytes([kind]) for kind in range(1, 8)}


def test_negotiation_writes_nothing_to_the_contexts_that_all_share(make_door: MakeDoor) -> None:
    door = make_door()
    shared = door.port._servers[0].contexts
    before = copy.deepcopy(shared)
    ae = AE(ae_title="PACS")
    ae.add_requested_context(Verification, ImplicitVRLittleEndian)
    ae.add_requested_context(MG, [ExplicitVRLittleEndian, "1.2.840.10008.1.2.4.50"])
    ae.add_requested_context(MG, "1.2.840.10008.1.2.4.51")
    ae.add_requested_context(StorageCommitmentPushModel)
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = StorageCommitmentPushModel, True, True
    assoc = ae.associate("127.0.0.1", door.settings.port, ae_title="FAPS", ext_neg=[role])
    assert len(assoc.accepted_contexts) == 3
    assoc.release()
    assert shared == before
    assert [(cx.scu_role, cx.scp_role, cx.context_id) for cx in shared] == [
        (cx.scu_role, cx.scp_role, cx.context_id) for cx in before
    ]


def test_an_idle_association_turns_no_wheels(make_door: MakeDoor) -> None:
    door = make_door()
    turns: list[str] = []
    with Caller(door.settings.port) as caller:
        assert caller.associate() == ASSOCIATE_AC
        (assoc,) = door.port._servers[0].active_associations
        wait_until(assoc.seated.is_set, "the association")
        for name, thing in (("rest", assoc), ("_turn", assoc.dul)):
            true = getattr(thing, name)
            setattr(thing, name, lambda true=true, name=name: (turns.append(name), true())[1])
        threading.Event().wait(0.5)
        assert caller.echo() == 0
        assert len(turns) < 20
        caller.release()


def test_events_come_in_the_order_that_the_log_needs(make_door: MakeDoor) -> None:
    door = make_door()
    heard: list[str] = []
    for event in (evt.EVT_CONN_OPEN, evt.EVT_REQUESTED, evt.EVT_ACCEPTED, evt.EVT_ESTABLISHED,
                  evt.EVT_RELEASED, evt.EVT_CONN_CLOSE):  # fmt: skip
        door.port._servers[0].bind(event, lambda event: heard.append(event.event.name))
    with Caller(door.settings.port) as caller:
        assert caller.associate() == ASSOCIATE_AC
        caller.release()
    gone(door)
    # The last two come from two threads: the log takes whichever is the first.
    assert [*heard[:4], *sorted(heard[4:], reverse=True)] == [
        "EVT_CONN_OPEN", "EVT_REQUESTED", "EVT_ACCEPTED", "EVT_ESTABLISHED", "EVT_RELEASED",
        "EVT_CONN_CLOSE",
    ]  # fmt: skip


def gone(door: Door) -> None:
    wait_until(lambda: not door.port._servers[0].active_associations, "the association to end")
