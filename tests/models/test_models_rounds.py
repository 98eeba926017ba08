"""A round of each family says what the same layer of torch-geometric, or of DGL, says."""

import pytest
import torch
from torch import nn
from torch_geometric.nn import HeteroConv, HGTConv, RGCNConv, SAGEConv

from graphguard.errors import BadSetting, MissingExtra
from graphguard.graph import interop
from graphguard.graph.neighbourhoods import types_in_reach, walked
from graphguard.models.base import open_model
from graphguard.models.dgl_rgcn import DglRgcnRound, DglRgcnSettings
from graphguard.models.hgt import HgtRound, HgtSettings
from graphguard.models.rgcn import RgcnRound, RgcnSettings
from graphguard.models.sage import SageRound, SageSettings
from graphguard.models.segments import segment_mean, segment_softmax, segment_sum, spread
from graphguard.models.tree_net import KeyedDropout, RoundPlan, Told

HIDDEN, HEADS = 8, 2
STEPS = walked([("user", "uses", "device"), ("user", "follows", "user")])
# Neighbours of each asker by step; the second device and the last user hear nothing at all.
COUNTS = ((2, 0, 1, 0), (3, 0), (1, 2, 0, 0), (0, 4, 1, 0))


@pytest.fixture
def layer():
    """Four users and two devices, and what their neighbours tell them."""
    draw = torch.Generator().manual_seed(3)
    own = {
        "user": torch.randn(4, HIDDEN, generator=draw),
        "device": torch.randn(2, HIDDEN, generator=draw),
    }
    told = [
        Told(step, torch.randn(sum(count), HIDDEN, generator=draw), torch.tensor(count))
        for step, count in zip(STEPS, COUNTS, strict=True)
    ]
    return own, told


def plan(settings):
    return RoundPlan(0, ("device", "user"), STEPS, settings)


def marks(own):
    return {kind: torch.arange(len(state)) for kind, state in own.items()}


def as_dicts(own, told):
    """The layer as torch-geometric takes it: nodes by type, those that hear first, and edges."""
    parts, edges = {kind: [state] for kind, state in own.items()}, {}
    for one in told:
        start = sum(len(part) for part in parts[one.step.other])
        parts[one.step.other].append(one.states)
        source = torch.arange(start, start + len(one.states))
        target = torch.arange(len(one.count)).repeat_interleave(one.count)
        edges[one.step.message] = torch.stack([source, target])
    return {kind: torch.cat(part) for kind, part in parts.items()}, edges


def as_one(own, told):
    """The layer in one space of nodes: states, edges, and the number of each edge's relation."""
    first = {"user": 0, "device": 4}
    nodes = torch.cat([own["user"], own["device"], *(one.states for one in told)])
    source = torch.arange(6, len(nodes))
    target = torch.cat(
        [
            (torch.arange(len(one.count)) + first[one.step.asker]).repeat_interleave(one.count)
            for one in told
        ]
    )
    relation = torch.cat(
        [torch.full((len(one.states),), number) for number, one in enumerate(told)]
    )
    return nodes, torch.stack([source, target]), relation


@pytest.mark.parametrize("bases", [0, 2])
def test_rgcn_agrees_with_torch_geometric(layer, bases):
    own, told = layer
    ours = RgcnRound(plan(RgcnSettings(hidden=HIDDEN, bases=bases)))
    theirs = RGCNConv(HIDDEN, HIDDEN, len(STEPS), num_bases=bases or None, aggr="mean")
    with torch.no_grad():
        theirs.weight.copy_(ours.relation.basis)
        if bases:
            theirs.comp.copy_(ours.relation.share)
        theirs.root.copy_(ours.root.weight.t())
        theirs.bias.copy_(ours.root.bias)
    expected = theirs(*as_one(own, told))

    found = ours.convolve(own, told)

    assert torch.allclose(found["user"], expected[:4], atol=1e-6)
    assert torch.allclose(found["device"], expected[4:6], atol=1e-6)


@pytest.mark.parametrize("bases", [0, 2])
def test_rgcn_by_dgl_agrees_with_rgcn(layer, bases):
    own, told = layer
    ours = RgcnRound(plan(RgcnSettings(hidden=HIDDEN, bases=bases)))
    theirs = DglRgcnRound(plan(DglRgcnSettings(hidden=HIDDEN, bases=bases)))
    with torch.no_grad():
        theirs.convolution.linear_r.W.copy_(ours.relation.basis)
        if bases:
            theirs.convolution.linear_r.coeff.copy_(ours.relation.share)
        theirs.convolution.loop_weight.copy_(ours.root.weight.t())
        theirs.convolution.h_bias.copy_(ours.root.bias)

    one, other = ours(own, told, marks(own)), theirs(own, told, marks(own))
    for kind in own:
        one[kind].square().sum().backward(retain_graph=True)
        other[kind].square().sum().backward(retain_graph=True)

    assert torch.allclose(one["user"], other["user"], atol=1e-5)
    assert torch.allclose(one["device"], other["device"], atol=1e-5)
    gradients = ours.relation.basis.grad, theirs.convolution.linear_r.W.grad
    assert torch.allclose(*gradients, atol=1e-4)


def test_sage_agrees_with_torch_geometric(layer):
    own, told = layer
    ours = SageRound(plan(SageSettings(hidden=HIDDEN))).eval()
    convolutions = {}
    for kind in own:
        blocks = ours.mix[kind].weight.split(HIDDEN, dim=1)
        mine = [step for step in STEPS if step.asker == kind]
        for number, step in enumerate(mine):
            one = SAGEConv((HIDDEN, HIDDEN), HIDDEN, bias=False)
            with torch.no_grad():
                one.lin_l.weight.copy_(blocks[1 + number])
                one.lin_r.weight.copy_(blocks[0] / len(mine))
            convolutions[step.message] = one
    expected = HeteroConv(convolutions, aggr="sum")(*as_dicts(own, told))

    found = ours(own, told, marks(own))

    for kind, state in own.items():
        mixed = torch.relu(expected[kind][: len(state)] + ours.mix[kind].bias)
        assert torch.allclose(found[kind], ours.norm[kind](state + mixed), atol=1e-6)


def test_hgt_agrees_with_torch_geometric(layer):
    own, told = layer
    ours = HgtRound(plan(HgtSettings(hidden=HIDDEN, heads=HEADS))).eval()
    nodes, edges = as_dicts(own, told)
    theirs = HGTConv(HIDDEN, HIDDEN, (list(nodes), list(edges)), heads=HEADS)
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for kind in own:
            ours.skip[kind].copy_(torch.randn((), generator=draw))
            key, value = ours.key_value[kind].weight.split(HIDDEN)
            key_bias, value_bias = ours.key_value[kind].bias.split(HIDDEN)
            query = ours.query[kind]
            kqv = theirs.kqv_lin.lins[kind]
            kqv.weight.copy_(torch.cat([key, query.weight, value]))
            kqv.bias.copy_(torch.cat([key_bias, query.bias, value_bias]))
            theirs.out_lin.lins[kind].weight.copy_(ours.answer[kind].weight)
            theirs.out_lin.lins[kind].bias.copy_(ours.answer[kind].bias)
            theirs.skip[kind].copy_(ours.skip[kind])
        ours.weight_of.copy_(torch.randn(len(STEPS), HEADS, generator=draw))
        for number, step in enumerate(STEPS):
            theirs.p_rel["__".join(step.message)].copy_(ours.weight_of[number])
            for head in range(HEADS):
                place = head * len(STEPS) + number
                theirs.k_rel.weight[place].copy_(ours.key_of[number, head])
                theirs.v_rel.weight[place].copy_(ours.value_of[number, head])
    expected = theirs(nodes, edges)

    found = ours(own, told, marks(own))

    for kind, state in own.items():
        wanted = ours.norm[kind](expected[kind][: len(state)])
        assert torch.allclose(found[kind], wanted, atol=1e-5)


def test_segments_are_sums_of_neighbours_side_by_side():
    count = torch.tensor([2, 0, 1])
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)

    summed = segment_sum(values, count)
    (summed * torch.tensor([[1.0], [10.0], [100.0]])).sum().backward()

    assert summed.tolist() == [[4.0, 6.0], [0.0, 0.0], [5.0, 6.0]]
    assert values.grad.tolist() == [[1.0, 1.0], [1.0, 1.0], [100.0, 100.0]]
    assert segment_mean(values, count).tolist() == [[2.0, 3.0], [0.0, 0.0], [5.0, 6.0]]
    assert segment_sum(values[:0], torch.tensor([0, 0])).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_gradients_of_segments_are_those_of_finite_differences():
    count = torch.tensor([2, 0, 3])
    values = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)
    each = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(lambda one: segment_sum(one, count), values)
    assert torch.autograd.gradcheck(lambda one: spread(one, count, 5), each)
    assert torch.autograd.gradcheck(lambda one: segment_softmax([one], [count])[0], values)


def test_attention_adds_up_to_one_over_all_relations():
    counts = [torch.tensor([1, 0, 0]), torch.tensor([2, 1, 0])]
    logits = [torch.tensor([[500.0]]), torch.tensor([[500.0], [-500.0], [3.0]])]

    shares = segment_softmax(logits, counts)

    assert [one.flatten().tolist() for one in shares] == [[0.5], [0.5, 0.0, 1.0]]


def test_dropout_follows_marks_and_keeps_the_mean():
    drop = KeyedDropout(0.25, 1)
    marked, values = torch.arange(4_000), torch.ones(4_000, 6)
    whole = drop(values, marked)
    turned = drop(values, marked.flip(0)).flip(0)

    assert (whole == turned).all()
    assert (drop(values[7:9], marked[7:9]) == whole[7:9]).all()
    assert set(whole.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert whole.mean(dim=0).tolist() == pytest.approx([1.0] * 6, abs=0.04)
    assert (KeyedDropout(0.25, 2)(values, marked) != whole).any()
    assert (drop.eval()(values, marked) == values).all()


def test_only_types_in_reach_get_weights():
    chain = walked([("user", "posts", "content"), ("content", "on", "page")])

    assert types_in_reach(chain, "user", 2) == [["user"], ["content"], ["page", "user"]]
    assert types_in_reach(chain, "page", 1) == [["page"], ["content"]]


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(BadSetting, match=r"training.hgt: heads: must divide hidden \(64\), got 7"):
        open_model("hgt", {"heads": 7})


def test_without_dgl_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(interop.sys.modules, "dgl", None)

    with pytest.raises(MissingExtra, match=r"model 'dgl_rgcn' needs .* 'graphguard\[dgl\]'"):
        open_model("dgl_rgcn")


def test_dgl_is_imported_where_warnings_are_errors_and_nothing_is_compiled(monkeypatch, tmp_path):
    (tmp_path / "dgl").mkdir()
    (tmp_path / "dgl" / "__init__.py").write_text(r"PATTERN = '\P'")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(interop.sys.modules, "dgl", None)
    monkeypatch.delitem(interop.sys.modules, "dgl")

    # As pytest runs, any warning is an error.
    assert interop.import_dgl("this test").PATTERN == r"\P"


def test_a_round_is_a_module_with_weights_for_what_it_hears():
    made = SageRound(RoundPlan(0, ("user",), [STEPS[0]], SageSettings(hidden=HIDDEN)))

    assert isinstance(made, nn.Module)
    assert {name: tuple(one.shape) for name, one in made.mix.state_dict().items()} == {
        "user.weight": (HIDDEN, 2 * HIDDEN),
        "user.bias": (HIDDEN,),
    }
