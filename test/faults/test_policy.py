"""The SROS 2 policy allows what the nodes use, all of it and nothing else."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed')

from action_recognition.nodes.behavior import BehaviorNode
from action_recognition.nodes.camera import CameraNode
from action_recognition.nodes.perception import PerceptionNode
from action_recognition.nodes.recognizer import RecognizerNode

PATH = Path(__file__).resolve().parents[2] / 'config' / 'sros2' / 'policy.xml'
#: Used with use_sim_time only.
CLOCK = ('topics', 'subscribe', '/clock')
#: element -> (attributes it must have, elements it may hold), by the schema of SROS 2.
SCHEMA = {
    'policy': ({'version'}, {'enclaves'}),
    'enclaves': (set(), {'enclave'}),
    'enclave': ({'path'}, {'profiles'}),
    'profiles': (set(), {'profile'}),
    'profile': ({'ns', 'node'}, {'topics', 'services'}),
}
MODES = {'topics': {'publish', 'subscribe'}, 'services': {'reply', 'request'}}


@pytest.fixture(scope='module')
def policy():
    return ElementTree.parse(PATH).getroot()


def allowed(profile):
    """(kind, mode, absolute name) of everything a profile allows."""
    node = profile.get('node')
    for rules in profile:
        for mode in rules.attrib:
            for rule in rules:
                name = rule.text.replace('~', f'/{node}')
                yield rules.tag, mode, name if name.startswith('/') else f'/{name}'


def test_it_has_the_structure_of_a_policy(policy):
    def check(element):
        if element.tag in MODES:
            assert len(element.attrib) == 1 and set(element.attrib) <= MODES[element.tag]
            assert set(element.attrib.values()) == {'ALLOW'}
            assert {child.tag for child in element} == {element.tag[:-1]}
            assert all(child.text.strip() == child.text for child in element)
            return
        attributes, children = SCHEMA[element.tag]
        assert set(element.attrib) == attributes
        assert {child.tag for child in element} == children
        for child in element:
            check(child)

    assert (policy.tag, policy.get('version')) == ('policy', '0.2.0')
    check(policy)


def test_no_rule_is_a_wildcard_or_there_twice(policy):
    for profile in policy.iter('profile'):
        rules = list(allowed(profile))
        assert len(set(rules)) == len(rules)
        assert not any(sign in name for _, _, name in rules for sign in '*?[')


def test_the_pipeline_may_do_what_its_three_nodes_may(policy):
    enclaves = {e.get('path').rsplit('/', 1)[1]: e for e in policy.iter('enclave')}
    assert set(enclaves) == {'camera', 'perception', 'recognizer', 'behavior', 'pipeline'}
    alone = {
        p.get('node'): set(allowed(p))
        for e in enclaves
        for p in enclaves[e].iter('profile')
        if e != 'pipeline'
    }
    together = {p.get('node'): set(allowed(p)) for p in enclaves['pipeline'].iter('profile')}
    assert together == {name: alone[name] for name in ('camera', 'perception', 'recognizer')}


def used(peer, node):
    """What a running node has, by the ROS graph."""
    kinds = (
        ('topics', 'publish', peer.get_publisher_names_and_types_by_node),
        ('topics', 'subscribe', peer.get_subscriber_names_and_types_by_node),
        ('services', 'reply', peer.get_service_names_and_types_by_node),
        ('services', 'request', peer.get_client_names_and_types_by_node),
    )
    return {(kind, mode, name) for kind, mode, ask in kinds for name, _ in ask(node, '/')}


def own(node):
    """What a node itself knows of."""
    topics = {('topics', 'publish', p.topic_name) for p in node.publishers}
    return topics | {('topics', 'subscribe', s.topic_name) for s in node.subscriptions}


def settle(graph, node):
    """What a node has, by itself and by the ROS graph once that has caught up.

    A camera that waits for answers stops listening at the end of its source, perhaps before the
    graph has told of it.
    """
    first = own(node)
    graph.until(lambda: used(graph.peer, node.get_name()) >= own(node))
    return first | used(graph.peer, node.get_name())


def test_it_is_that_of_the_running_nodes(graph, policy, estimator, make_source, tmp_path):
    rules = tmp_path / 'rules.yaml'
    rules.write_text('rules: {greet: {label: wave, event: hello}}')
    lockstep = {'source': 'fake', 'exit_at_end': False}
    relay, packed = {'source': 'topic'}, {'source': 'topic', 'transport': 'compressed'}
    look = {'look.mode': 'full'}
    ways = [  # every way of running each node
        *((CameraNode, p, {}) for p in (relay, packed)),
        *(
            (CameraNode, lockstep | {'lockstep': topic}, {'opener': lambda *_: make_source()})
            for topic in ('skeletons', 'actions')
        ),
        *(
            (
                PerceptionNode,
                look | {'image_transport': transport},
                {'estimator_factory': lambda *_: estimator},
            )
            for transport in ('raw', 'compressed')
        ),
        (RecognizerNode, {}, {}),
        (BehaviorNode, {'rules': str(rules)}, {}),
    ]
    found: dict[str, set] = {}
    for kind, parameters, options in ways:
        uses = settle(graph, graph.node(kind, parameters=parameters, **options))
        found.setdefault(kind.NAME, set()).update(uses)
        graph.clear()
    written = {p.get('node'): set(allowed(p)) for p in policy.iter('profile')}
    for name, uses in found.items():
        assert uses | {CLOCK} == written[name], name
    assert set(found) == set(written)
