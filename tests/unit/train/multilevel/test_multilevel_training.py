"""A training through levels: the same loop, the same bits after a kill, and what each setting says."""

import copy
import itertools

import pytest
import torch

from netwright.core.error import UserError
from netwright.core.run import Run
from netwright.data import synthetic
from netwright.models import cnn, mlp, resnet, transformer
from netwright.train.loop import begin, fit
from netwright.train.multilevel import schedules
from netwright.train.multilevel.correction import correct, displacement, grow, sample
from netwright.train.multilevel.hierarchy import Hierarchy
from netwright.train.multilevel.matching import Aggregation
from netwright.train.multilevel.passage import Passage
from netwright.train.multilevel.schedules import Restrict, Smooth
from netwright.train.multilevel.views import longest
from netwright.train.parallel import Team
from netwright.train.step import Config

IMAGES = synthetic.open(synthetic.Config(examples=200))
TEXTS = synthetic.open(synthetic.Config(name="synthetic-text", examples=200))
SHORT = {"epochs": 2, "batch": 40, "threads": 1, "lr": 0.01}
ALONE = Team("none", 0, 1, torch.device("cpu"))


def network(module, task, **settings):
    torch.manual_seed(1)
    return module.build(module.Config(**settings), task.inputs, len(task.classes))


def config(schedule="cascade", *, train=None, **settings):
    return Config(**{**SHORT, **(train or {})}, multilevel=schedules.Config(schedule=schedule, **settings))


def trained(folder, task, module, config, stops=(None,)):
    """Train, in as many pieces as there are stops, each with a new network as a new process has."""
    for stop in stops:
        model = network(module, task)
        with Run.start(folder, "train", {"test": 1}) as run:
            fitted = fit(model, task, config, run, stop_after=stop)
    return model.state_dict(), fitted


def between(hierarchy):
    return Passage(hierarchy.levels[0].transfer)


def assert_same(a, b):
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


SETTINGS = [
    config("cascade", width=(1, 2, 4)),
    config("cascade", resolution=(1.0, 0.5), train={"average": 0.9, "precision": "bf16"}),
    config("cascade", state="reset", rewarm=3, lr_scale=2.0, train={"optimizer": "sgd"}),
    config("coalesce", alpha=0.5, detail=0.5, first=0.3),
    config("v", coarse=3, pre=1, post=1, tau="constant", train={"optimizer": "sgd", "epochs": 6}),
    config("v", coarse=3, pre=1, post=1, tau="decayed", trust=0.05, train={"clip": 1.0, "accumulate": 2, "epochs": 6}),
    config("w", coarse=2, pre=1, post=1, width=(1, 2, 4), tau="batch", train={"epochs": 6}),
    config("f", coarse=2, pre=1, post=1, width=(1, 2, 4), train={"precision": "fp16", "epochs": 4}),
    config("v", coarse=3, pre=1, post=1, matching="fixed", train={"checkpointing": True}),
]
SETTINGS += [
    config("cascade", width=(1, 1, 2), depth=(1, 2, 2), growth="expand", detail=0.0),
    config("v", coarse=3, pre=1, post=1, depth=(1, 2), tau="constant", train={"epochs": 6}),
]
NAMES = ["cascade", "view", "sgd", "coalesce", "constant", "decayed", "batch", "f16", "checkpointing", "depth", "thin"]


LONGER = {"epochs": 6}
CASES = [(TEXTS if settings.multilevel.depth[-1] > 1 else IMAGES, cnn, settings) for settings in SETTINGS]
CASES = [(task, transformer if task is TEXTS else module, settings) for task, module, settings in CASES] + [
    (TEXTS, transformer, config("cascade", length=(1.0, 0.5), train={"average": 0.9, "precision": "bf16"})),
    (TEXTS, transformer, config("v", coarse=3, pre=1, post=1, tau="constant", similarity="activation", train=LONGER)),
    (TEXTS, transformer, config("v", coarse=3, pre=1, post=1, tau="batch", merge=(1, 2), rematch=2, train=LONGER)),
]


@pytest.mark.parametrize(("task", "module", "settings"), CASES, ids=[*NAMES, "texts", "activation", "merge"])
def test_a_kill_in_the_middle_of_any_cycle_changes_no_bit(tmp_path, task, module, settings):
    whole, first = trained(tmp_path / "whole", task, module, settings)
    stops = (2, first.step - 4, None)
    pieces, second = trained(tmp_path / "pieces", task, module, settings, stops)
    assert first.step == second.step == first.total_steps
    assert_same(whole, pieces)
    steps = begin(network(module, task), task, settings, ALONE).tally()
    assert min(steps.values()) > 1, "every level was visited"


def test_levels_that_differ_in_nothing_train_as_one_level_does(tmp_path):
    plain, _ = trained(tmp_path / "plain", IMAGES, cnn, config("single"))
    for schedule in ("cascade", "coalesce", "v", "auto"):
        levels, fitted = trained(tmp_path / schedule, IMAGES, cnn, config(schedule, width=(1, 1), coarse=3))
        assert fitted.step == 10
        assert_same(plain, levels)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("schedule", ["cascade", "coalesce", "v"])
def test_identity_transfers_train_as_one_level_does_bit_for_bit(tmp_path, monkeypatch, schedule, optimizer):
    """A coarse network as large as the fine one: everything goes through R, P and the optimizer's transfer."""
    train = {"optimizer": optimizer, "epochs": 3}
    plain, _ = trained(tmp_path / "plain", IMAGES, mlp, config("single", train=train))

    def identity(self, level):
        return {space.name: Aggregation(torch.arange(space.size), space.size) for space in level.coupling.free}

    monkeypatch.setattr(Hierarchy, "_match", identity)
    settings = config(schedule, coarse=2, pre=1, post=1, train=train)
    levels, fitted = trained(tmp_path / "levels", IMAGES, mlp, settings)
    assert fitted.step == 15
    assert_same(plain, levels)


@pytest.mark.parametrize(("task", "module"), [(IMAGES, mlp), (IMAGES, cnn), (TEXTS, transformer)])
def test_a_coarse_network_that_has_not_moved_corrects_nothing(task, module):
    model = network(module, task)
    hierarchy = Hierarchy.build(model, task.example(2))
    before = copy.deepcopy(model.state_dict())
    hierarchy.restrict(0)
    fine, coarse = (level.model for level in hierarchy.levels)
    kept = {name: p.clone() for name, p in fine.named_parameters()}
    correct(fine, coarse, between(hierarchy))
    assert_same(kept, dict(fine.named_parameters()))
    assert displacement(fine, coarse, between(hierarchy)) == 0
    correct(fine, coarse, between(hierarchy), alpha=0.5)
    for name, p in fine.named_parameters():
        torch.testing.assert_close(p, before[name])


def test_without_detail_a_corrected_network_computes_what_the_coarse_one_does():
    model = network(transformer, TEXTS).eval()
    example = TEXTS.example(3)
    hierarchy = Hierarchy.build(model, example)
    coarse = hierarchy.levels[1].model.eval()
    with torch.no_grad():
        for p in coarse.parameters():
            p.copy_(torch.randn(p.shape) * 0.1)
        correct(model, coarse, between(hierarchy), detail=0.0)
        torch.testing.assert_close(model(**example), coarse(**example), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("task", "module"), [(IMAGES, mlp), (IMAGES, cnn), (TEXTS, transformer)])
def test_a_network_that_expands_computes_what_the_coarse_one_does_and_has_new_units(task, module):
    model = network(module, task).eval()
    first = {name: p.detach().clone() for name, p in model.named_parameters()}
    example = task.example(3)
    hierarchy = Hierarchy.build(model, example)
    coarse, passage = hierarchy.levels[1].model.eval(), between(hierarchy)
    with torch.no_grad():
        for p in coarse.parameters():
            p.copy_(torch.randn(p.shape) * 0.1)
        grow(model, coarse, passage, True, 0.0)
        torch.testing.assert_close(model(**example), coarse(**example), rtol=1e-5, atol=1e-6)
        grow(model, coarse, passage, True, 1.0)
    fresh = [name for name, p in model.named_parameters() if torch.isin(first[name].flatten(), p.flatten()).any()]
    assert len(fresh) > 1, "some units are as they were initialized"


def test_growing_by_expansion_trains(tmp_path):
    _, fitted = trained(tmp_path, IMAGES, cnn, config("cascade", growth="expand", detail=0.0, width=(1, 2, 4)))
    assert fitted.step == fitted.total_steps


def test_interpolation_is_that_of_the_paper():
    """(1 - a) w + a P w_c, where detail is 1 - a (Zou, Zhang and Deng, ICLR 2024)."""
    model = network(mlp, IMAGES)
    hierarchy = Hierarchy.build(model, IMAGES.example(2))
    coarse, transfer = hierarchy.levels[1].model, hierarchy.levels[0].transfer
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    correct(model, coarse, Passage(transfer), alpha=0.3, detail=0.7)
    source = dict(coarse.named_parameters())
    for name, p in model.named_parameters():
        wanted = 0.7 * before[name] + 0.3 * transfer.prolong(name, source[name].detach())
        torch.testing.assert_close(p.detach(), wanted)


def test_a_sampled_coarse_network_is_as_one_that_was_initialized_itself():
    torch.manual_seed(0)
    fine = mlp.MLP(mlp.Config(width=1024), 784, 10)
    hierarchy = Hierarchy.build(fine, {"image": torch.rand(2, 1, 28, 28)})
    coarse = hierarchy.levels[1].model
    sample(fine, coarse, between(hierarchy))
    own = mlp.MLP(mlp.Config(width=512), 784, 10)
    for (name, p), q in zip(own.named_parameters(), coarse.parameters(), strict=True):
        assert p.shape == q.shape
        if p.dim() > 1:
            assert float(q.detach().std()) == pytest.approx(float(p.detach().std()), rel=0.05), name


def test_a_sampled_network_of_identities_has_no_dead_channel():
    """Convolutions that begin as the identity (ResNet-9) keep a path for every channel, or it would be all zero."""
    task = synthetic.open(synthetic.Config(examples=100, side=32))
    fine = network(resnet, task, width=8)
    hierarchy = Hierarchy.build(fine, task.example(2))
    coarse = hierarchy.levels[1].model
    sample(fine, coarse, between(hierarchy))
    dead = [name for name, p in coarse.named_parameters() if p.dim() == 4 and not p.flatten(1).norm(dim=1).all()]
    assert dead == []


class _Spy:
    """Gradients as one step leaves them, by replacing the optimizer's step."""

    def __init__(self, training):
        self.seen = []
        self.training = training

    def step(self):
        optimizer = self.training.optimizer
        kept, optimizer.step = (
            optimizer.step,
            lambda *_, **__: self.seen.append(
                {name: p.grad.clone() for name, p in self.training.model.named_parameters()}
            ),
        )
        self.training.one_step()
        optimizer.step = kept
        return self.seen[-1]


@pytest.mark.parametrize("tau", ["constant", "batch"])
@pytest.mark.parametrize(("task", "module"), [(IMAGES, mlp), (TEXTS, transformer)], ids=["mlp", "transformer"])
def test_with_tau_coarse_training_begins_with_the_restricted_fine_gradient(task, module, tau):
    """grad(L_c - <tau, .>) at R w is P^T grad L_f(w), on the batch that tau was made of."""
    model = network(module, task, dropout=0.0)
    settings = config("v", coarse=3, pre=1, post=1, tau=tau, tau_batches=1, train={"epochs": 9})
    training = begin(model, task, settings, ALONE)
    fine = _Spy(training).step()  # the fine network does not move
    while training.level == 0:
        training._carry_out()
    assert isinstance(training.event, Smooth)
    if tau == "constant":
        training.step -= 1  # the same batch again
    else:
        fine = _gradient_of(training, 0)
    coarse = _Spy(training).step()
    transfer = training.ladder.hierarchy.levels[0].transfer
    for name, gradient in coarse.items():
        torch.testing.assert_close(gradient, transfer.adjoint(name, fine[name]), rtol=1e-4, atol=1e-6)


def _gradient_of(training, level):
    return training._gradient(training.nets[0].model, level, range(training.step, training.step + 1))


def test_tau_of_a_third_level_carries_that_of_the_second():
    """With tau on both, the coarsest gradient at its start is the finest one, restricted twice."""
    model = network(mlp, IMAGES)
    settings = config("v", coarse=2, pre=1, post=1, tau="batch", width=(1, 2, 4), train={"epochs": 9})
    training = begin(model, IMAGES, settings, ALONE)
    training.one_step()
    while training.level < 1:
        training._carry_out()
    kept, training.optimizer.step = training.optimizer.step, lambda *_, **__: None
    training.one_step()  # the second level does not move either
    training.optimizer.step = kept
    while training.level < 2:
        training._carry_out()
    fine = _gradient_of(training, 0)
    coarse = _Spy(training).step()
    first, second = (level.transfer for level in training.ladder.hierarchy.levels[:2])
    for name, gradient in coarse.items():
        wanted = second.adjoint(name, first.adjoint(name, fine[name]))
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-6)


def test_a_decayed_tau_fades():
    model = network(mlp, IMAGES)
    settings = config("v", coarse=5, pre=1, post=1, tau="decayed", decay=0.5, train={"epochs": 9})
    training = begin(model, IMAGES, settings, ALONE)
    while training.level == 0:
        training.one_step() if isinstance(training.event, Smooth) else training._carry_out()
    first = {name: x.clone() for name, x in training.here.tau.items()}
    for _ in range(3):
        training.one_step()
    for name, x in training.here.tau.items():
        torch.testing.assert_close(x, first[name] / 8)


def test_a_correction_that_spoils_the_network_is_dropped(tmp_path):
    model = network(mlp, IMAGES)
    training = begin(model, IMAGES, config("v", coarse=5, pre=1, post=1), ALONE)
    while training.level == 0:
        training.one_step() if isinstance(training.event, Smooth) else training._carry_out()
    while training.left > 1:
        training.one_step()
    fine = {name: x.clone() for name, x in model.state_dict().items()}
    training.one_step()
    with torch.no_grad():
        for p in training.model.parameters():
            p.copy_(100 * torch.randn(p.shape))
    while training.level == 1:
        training._carry_out()
    assert training.happened()[-1][1]["accepted"] == 0
    assert_same(fine, model.state_dict())
    assert training.guard.radius > 0


@pytest.mark.parametrize("rematch", [1, 3, 100])
def test_units_are_matched_anew_as_often_as_is_said(monkeypatch, rematch):
    settings = config("v", coarse=3, pre=1, post=1, rematch=rematch, train={"epochs": 4})
    training = begin(network(mlp, IMAGES), IMAGES, settings, ALONE)
    visits, matched = [], []
    monkeypatch.setattr(training.ladder, "rematch", lambda: matched.append(training.step))
    while not training.done:
        training.one_step()
        visits += [row for _, row in training.happened() if row["to_level"] == 1]
    assert len(visits) > 3
    assert len(matched) == -(-len(visits) // rematch)


@pytest.mark.parametrize(("accepted", "moves"), [(1.0, True), (0.5, False), (0.0, False)])
def test_state_goes_along_only_with_a_whole_correction(monkeypatch, accepted, moves):
    """Momentum of coarse weights that the fine ones did not follow leads them astray: it tripled a loss."""
    training = begin(network(mlp, IMAGES), IMAGES, config("v", coarse=3, pre=1, post=1), ALONE)
    monkeypatch.setattr(training.guard, "pass_on", lambda apply, undo, loss, alpha, moved: (accepted, 1.0, 1.0))
    while training.step < 4:
        training.one_step()
    fine = training.nets[0]
    before = {name: fine.optimizer.state[p]["exp_avg"].clone() for name, p in fine.model.named_parameters()}
    training._carry_out()
    after = {name: fine.optimizer.state[p]["exp_avg"] for name, p in fine.model.named_parameters()}
    assert training.level == 0
    assert any(not torch.equal(before[name], after[name]) for name in before) == moves


def test_running_statistics_are_counted_anew_after_a_transfer():
    model = network(cnn, IMAGES)
    training = begin(model, IMAGES, config("cascade"), ALONE)
    while training.level == 0:
        training._carry_out()
    coarse = copy.deepcopy(training.model)
    norm = next(m for m in training.model.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert int(norm.num_batches_tracked) > 0
    assert not torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean))
    assert norm.momentum == next(m for m in coarse.modules() if isinstance(m, torch.nn.BatchNorm2d)).momentum


def test_rows_of_metrics_tell_level_work_and_changes_of_level(tmp_path):
    _, fitted = trained(tmp_path, IMAGES, mlp, config("cascade", width=(1, 2, 4)))
    with Run.start(tmp_path, "train", {"test": 1}) as run:
        rows = run.metrics()
    assert [row["to_level"] for row in rows if "to_level" in row] == [1, 2, 1, 0]
    places = [(row["work"], row["level"]) for row in rows if "level" in row]
    assert places == sorted(places, key=lambda place: (place[0], -place[1]))
    assert [level for level, _ in itertools.groupby(level for _, level in places)] == [2, 1, 0]
    assert places[-1][0] == pytest.approx(10, abs=0.5)
    assert fitted.best_step == fitted.step or fitted.best_step > 0


def test_the_best_weights_are_never_those_of_a_coarser_level(tmp_path):
    _, fitted = trained(tmp_path, IMAGES, cnn, config("cascade", train={"monitor": "accuracy", "epochs": 4}))
    with Run.start(tmp_path, "train", {"test": 1}) as run:
        rows = [row for row in run.metrics() if "to_level" in row]
    assert fitted.best_step > rows[-1]["step"]


def test_smaller_images_and_shorter_texts_are_what_coarse_levels_see():
    training = begin(network(cnn, IMAGES), IMAGES, config("cascade", width=(1, 1), resolution=(1.0, 0.5)), ALONE)
    training._carry_out()
    assert training.batch(0).inputs["image"].shape[2:] == (4, 4)
    assert training.plan.costs[1] < 0.99
    training = begin(network(transformer, TEXTS), TEXTS, config("cascade", width=(1, 1), length=(1.0, 0.5)), ALONE)
    whole = training.batch(0)
    training._carry_out()
    part = training.batch(0)
    assert part.inputs["ids"].shape[1] == part.inputs["mask"].shape[1] == 8
    for ids, mask, less, seen in zip(*whole.inputs.values(), *part.inputs.values(), strict=True):
        words, kept = ids[mask], less[seen]
        assert len(kept) == min(8, len(words))
        assert torch.equal(kept, words if len(words) <= 8 else torch.cat([words[:2], words[-6:]]))


def test_a_level_costs_what_texts_of_the_usual_length_do():
    lengths = TEXTS.lengths("train")
    for share, most in ((1.0, 16), (0.5, 8)):
        given = config("cascade", width=(1, 1), length=(1.0, share))
        training = begin(network(transformer, TEXTS), TEXTS, given, ALONE)
        seen = training.views[1].usual(longest(TEXTS), lengths)
        mean = float(lengths.clamp(max=most).double().mean())
        assert seen["ids"].shape[1] == seen["mask"].shape[1] == -(-mean // 1)
    training = begin(network(cnn, IMAGES), IMAGES, config("cascade", width=(1, 1), resolution=(1.0, 0.5)), ALONE)
    assert training.views[1].usual(longest(IMAGES), None)["image"].shape[2:] == (4, 4)


def test_a_coarse_level_takes_several_tokens_as_one():
    model = network(transformer, TEXTS, merge=2)
    training = begin(model, TEXTS, config("cascade", width=(1, 1), merge=(1, 4)), ALONE)
    seen = []
    model.blocks[0].register_forward_pre_hook(lambda block, given: seen.append(given[0].shape[1]))
    while not training.done:
        training.one_step()
    assert model.merge == 2
    assert set(seen) == {8, 2}, "of sixteen tokens"
    assert seen == sorted(seen), "from the coarse level up"
    assert training.plan.costs[1] < 0.95
    training.enter(1)
    training.evaluate("validation")
    assert seen[-1] == 2
    assert model.merge == 2


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        ({"resolution": (1.0, 0.5)}, "train.multilevel.resolution"),
        ({"schedule": "x"}, "train.multilevel.schedule"),
        ({"width": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)}, "levels"),
        ({"merge": (1, 4), "task": IMAGES, "module": cnn}, "train.multilevel.merge"),
    ],
)
def test_what_a_network_or_task_cannot_do_is_refused(settings, setting):
    task, module = settings.pop("task", TEXTS), settings.pop("module", transformer)
    with pytest.raises(UserError) as refusal:
        begin(network(module, task), task, config(**settings), ALONE)
    assert refusal.value.setting == setting


def test_levels_in_depth_grow_by_blocks_that_pass_their_input_on():
    model = network(transformer, TEXTS, depth=4, dropout=0.0)
    training = begin(model, TEXTS, config("cascade", width=(1, 1, 1), depth=(1, 2, 4)), ALONE)
    assert [len(net.model.blocks) for net in training.nets] == [4, 2, 1]
    example = TEXTS.example(4)
    while not training.done:
        training.one_step()
        if isinstance(training.event, Smooth) or training.event is None:
            continue
        coarse = copy.deepcopy(training.model).eval()
        training._carry_out()
        with torch.no_grad():
            torch.testing.assert_close(training.model.eval()(**example), coarse(**example), rtol=1e-4, atol=1e-5)
    assert training.level == 0


def test_depth_of_a_network_without_blocks_is_refused():
    with pytest.raises(UserError, match=r"train\.multilevel\.depth"):
        begin(network(cnn, IMAGES), IMAGES, config(depth=(1, 2)), ALONE)
    with pytest.raises(UserError, match="halved beyond 2"):
        begin(network(transformer, TEXTS), TEXTS, config(width=(1, 1, 1), depth=(1, 2, 4)), ALONE)


def test_sharded_training_through_levels_is_refused():
    with pytest.raises(UserError, match=r"train\.parallel"):
        begin(network(mlp, IMAGES), IMAGES, config(), Team("fsdp2", 0, 2, torch.device("cpu")))


def test_a_schedule_that_steps_over_a_level_is_found_out(monkeypatch):
    def broken(settings, plan):
        yield Smooth(0, 1)
        yield Restrict(1)

    monkeypatch.setattr("netwright.train.multilevel.schedules.cascade", broken)
    training = begin(network(mlp, IMAGES), IMAGES, config("cascade"), ALONE)
    training.one_step()
    with pytest.raises(ValueError, match="leaves level 1 while at level 0"):
        training.one_step()


def test_coarse_levels_that_are_done_with_are_no_part_of_a_checkpoint():
    training = begin(network(mlp, IMAGES), IMAGES, config("cascade"), ALONE)
    training.one_step()
    assert any(name.startswith("width1.model.") for name in training.tensors())
    while not training.done:
        training.one_step()
    assert not any(name.startswith("width1.") for name in training.tensors())
