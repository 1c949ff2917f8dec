"""Supernets that are trained by a user's `LightningModule`."""

import functools
import warnings
from functools import partial

import pytest
import torch
from torch import nn

from lanista.errors import EvaluatorError
from lanista.evaluator import Classification, FunctionalEvaluator, LightningEvaluator
from lanista.oneshot import DARTS, SPOS, Supernet
from lanista.trial import Trial
from tests.evaluator.tiny import Own, Recorder
from tests.oneshot.tiny import loader, space

with warnings.catch_warnings(action="ignore"):  # of libraries that Lightning imports
    import lightning.pytorch as pl


def share(evaluator, method, folder=None, recorder=None):
    """Train a supernet; returns it and the method."""
    torch.manual_seed(0)
    supernet = Supernet(space())

    def begin(steps):
        method.start(supernet, steps=steps, seed=3)
        return method

    trial = Trial(number=0, architecture={}, seed=3, folder=folder, reporter=recorder or Recorder())
    assert evaluator.share(begin, supernet, trial) is method
    return supernet, method


def evaluator(module=Own, **options):
    return LightningEvaluator(module, loader(shuffle=True), loader(seed=1), **{"max_epochs": 2, **options})


def moved(supernet):
    torch.manual_seed(0)
    before = Supernet(space()).state_dict()
    return {name for name, value in supernet.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("make", [DARTS, SPOS])
def test_a_module_trains_the_weights_and_the_validations_are_reported(make):
    recorder = Recorder()
    supernet, method = share(evaluator(), make(), recorder=recorder)
    assert recorder.steps == [1, 2]
    assert method.count == 2 * 16
    assert method.steps == 2 * 16
    names = {name for name, parameter in supernet.named_parameters()}
    assert names <= moved(supernet)
    assert [entry["step"] for entry in method.history] == [16, 32]
    assert all("train_loss" in entry["metrics"] for entry in method.history)


class Hand:
    """The same training in a loop by hand."""

    def __init__(self, method, clip):
        torch.manual_seed(0)
        self.supernet = Supernet(space())
        optimizer = torch.optim.SGD(self.supernet.parameters(), 0.05)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
        method.start(self.supernet, steps=32, seed=3)
        train, valid = list(loader()), list(loader(seed=1))
        for _ in range(2):
            for batch, other in zip(train, valid, strict=True):
                method.step(
                    batch,
                    other,
                    loss=lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
                    optimizer=optimizer,
                    clip=clip,
                )
            scheduler.step()


class Scheduled(Own):
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.model.parameters(), self.lr)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


@pytest.mark.parametrize("make", [partial(DARTS, learning_rate=0.05), SPOS])
def test_with_clipping_and_a_scheduler_it_is_what_a_loop_by_hand_does(make):
    judge = LightningEvaluator(Scheduled, loader(), loader(seed=1), max_epochs=2, gradient_clip_val=0.5)
    supernet, method = share(judge, make())
    by_hand = make()
    other = Hand(by_hand, clip=0.5).supernet
    for name, value in supernet.named_parameters():
        assert torch.allclose(value, other.get_parameter(name), atol=1e-6), name
    assert method.best(3) == by_hand.best(3)
    if method.strengths():
        assert [row for rows in method.strengths().values() for row in rows] == pytest.approx(
            [pytest.approx(row, abs=1e-6) for rows in by_hand.strengths().values() for row in rows]
        )


class Several(Own):
    """Optimises by hand, with an optimizer for the head and one for the rest."""

    def __init__(self, model):
        super().__init__(model)
        self.automatic_optimization = False

    def configure_optimizers(self):
        parameters = list(self.model.parameters())
        return torch.optim.SGD(parameters[:2], 0.1), torch.optim.Adam(parameters[2:], 0.01)

    def training_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self.model(batch[0]), batch[1])
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.manual_backward(loss)
        for optimizer in self.optimizers():
            self.clip_gradients(optimizer, gradient_clip_val=0.5)
            optimizer.step()


class Taught(Several):
    def architecture_loss(self, batch):
        return nn.functional.cross_entropy(self.model(batch[0]), batch[1])


def test_several_optimizers_train_paths():
    supernet, method = share(evaluator(Several), SPOS())
    assert {name for name, _ in supernet.named_parameters()} <= moved(supernet)
    assert method.count == 32


def test_several_optimizers_need_a_loss_for_the_architecture():
    with pytest.raises(EvaluatorError, match=r"give it a method architecture_loss\(self, batch\)"):
        share(evaluator(Several), DARTS())
    _, method = share(evaluator(Taught), DARTS(learning_rate=0.05))
    rows = [row for rows in method.strengths().values() for row in rows]
    assert any(abs(strength - 1 / len(row)) > 0.01 for row in rows for strength in row), "nothing was learnt"


class Mapped(Own):
    """Returns a mapping, which one of its hooks reads."""

    def training_step(self, batch, batch_idx):
        return {"loss": super().training_step(batch, batch_idx), "more": 1}

    def on_train_batch_end(self, outputs, batch, batch_idx):
        assert outputs["more"] == 1


def test_a_step_may_return_a_mapping():
    share(evaluator(Mapped), DARTS())


class Parts(Own):
    """Groups parameters by the parts that they are of, and calls the parts one by one."""

    def configure_optimizers(self):
        head = {"params": self.model.head.parameters(), "lr": 0.0}
        others = (self.model.stem, self.model.body)
        return torch.optim.SGD([head, {"params": [w for part in others for w in part.parameters()]}], self.lr)

    def training_step(self, batch, batch_idx):
        model = self.model
        return nn.functional.cross_entropy(model.head(model.act(model.body(model.stem(batch[0])))), batch[1])


class Kinds(Own):
    """Groups parameters by the kinds of their modules, and freezes some by their names."""

    def __init__(self, model):
        super().__init__(model)
        for name, weight in self.named_parameters():
            weight.requires_grad_(name != "model.head.bias")

    def configure_optimizers(self):
        linear = {id(m.weight): m.weight for m in self.modules() if isinstance(m, nn.Linear)}
        rest = [weight for weight in self.model.parameters() if id(weight) not in linear and weight.requires_grad]
        return torch.optim.SGD([{"params": list(linear.values())}, {"params": rest, "lr": 0.0}], self.lr)


@pytest.mark.parametrize("make", [DARTS, SPOS])
@pytest.mark.parametrize(
    ("module", "trained"),
    [
        (Parts, {"/stem/0/weight", "/stem/1/weight", "/stem/1/bias", "/body[body=good]/0/weight"}),
        (Kinds, {"/stem/0/weight", "/body[body=good]/0/weight", "/head/weight"}),
    ],
)
def test_a_module_may_use_parts_of_the_model(make, module, trained):
    supernet, _ = share(evaluator(module), make())
    weights = {name for name, _ in supernet.named_parameters()} & moved(supernet)
    assert weights - {"/body[body=good]/1/weight", "/body[body=good]/1/bias"} == trained


class Initial(Own):
    """Draws the weights anew."""

    def __init__(self, model):
        super().__init__(model, lr=0.0)
        model.apply(self.draw)

    def draw(self, part):
        if isinstance(part, nn.Linear):
            nn.init.constant_(part.weight, 0.25)


def test_a_module_may_set_the_first_weights():
    supernet, _ = share(evaluator(Initial), SPOS())
    names = ("/stem/0/weight", "/body[body=good]/0/weight", "/head/weight")
    assert all((supernet.get_parameter(name) == 0.25).all() for name in names)


class Unknown(Own):
    def configure_optimizers(self):
        return torch.optim.SGD(self.model.neck.parameters(), self.lr)


class Few(Own):
    def configure_optimizers(self):
        return torch.optim.SGD(self.model.head.parameters(), self.lr)


class Hooked(Own):
    def __init__(self, model):
        super().__init__(model)
        model.head.register_forward_hook(lambda *_: None)


class Replaced(Own):
    def __init__(self, model):
        super().__init__(model)
        model.head = nn.Linear(8, 2)


class Early(Own):
    def on_train_start(self):
        self.model(torch.zeros(2, 4))


@pytest.mark.parametrize(
    ("module", "error", "words"),
    [
        (Unknown, AttributeError, "'Net' object has no attribute 'neck'; the module trains a supernet"),
        (Few, EvaluatorError, r"leaves out 6 of the model's parameters: stem\.0\.weight, .* and 1 more"),
        (Hooked, EvaluatorError, "hooks were registered at parts of the model"),
        (Replaced, EvaluatorError, "'head' of the model cannot be set"),
        (Early, EvaluatorError, "no model runs before the first training step"),
    ],
)
def test_what_cannot_be_done_with_many_models_is_said(module, error, words):
    with pytest.raises(error, match=words):
        share(evaluator(module), SPOS())


def test_what_a_model_may_lack_can_be_asked_for():
    class Asking(Own):
        def on_train_start(self):
            assert hasattr(self.model, "head")
            assert not hasattr(self.model, "neck")

    share(evaluator(Asking), SPOS())


def decorated(step):
    @functools.wraps(step)
    def decorated_step(*arguments, **named):
        return step(*arguments, **named)

    return decorated_step


class Decorated(Own):
    training_step = decorated(Own.training_step)


class Short(Own):
    @decorated
    def training_step(self, batch):
        return Own.training_step(self, batch, 0)


@pytest.mark.parametrize("module", [Decorated, Short])
def test_a_step_may_be_decorated(module):
    _, one = share(evaluator(module), DARTS(learning_rate=0.05))
    _, other = share(evaluator(), DARTS(learning_rate=0.05))
    assert one.strengths() == other.strengths()
    model = space().build({"body": "good", "act": "relu"})
    evaluator(module).score(model, Trial(number=0, architecture={}, seed=1), recalibrate=2)


class Lossless(Own):
    def training_step(self, batch, batch_idx):
        super().training_step(batch, batch_idx)


def test_a_step_without_a_loss_is_refused():
    with pytest.raises(EvaluatorError, match="a search needs its loss"):
        share(evaluator(Lossless), DARTS())


class Logging(Own):
    """Counts what is logged in its training steps."""

    logged = 0

    def log(self, name, *arguments, **options):
        type(self).logged += name == "train_loss"
        super().log(name, *arguments, **options)


def test_steps_of_the_architecture_log_nothing():
    Logging.logged = 0
    share(evaluator(Logging), DARTS())
    assert Logging.logged == 32


class Counting(Own):
    """Counts samples in its training steps, as a metric would."""

    counts = 0

    def training_step(self, batch, batch_idx):
        type(self).counts += len(batch[0])
        return super().training_step(batch, batch_idx)


class Apart(Counting):
    def architecture_loss(self, batch):
        return nn.functional.cross_entropy(self.model(batch[0]), batch[1])


@pytest.mark.parametrize(("module", "times"), [(Counting, 2), (Apart, 1)])
def test_what_a_step_counts_is_its_own_business(module, times):
    module.counts = 0
    _, method = share(evaluator(module, max_epochs=1), DARTS(learning_rate=0.05))
    assert module.counts == times * 512
    assert method.strengths() == share(evaluator(max_epochs=1), DARTS(learning_rate=0.05))[1].strengths()


def test_an_interrupted_training_goes_on(tmp_path):
    class Stop(pl.Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 2:
                raise ZeroDivisionError

    whole, one = share(evaluator(max_epochs=4), DARTS(learning_rate=0.05))
    with pytest.raises(ZeroDivisionError):
        share(evaluator(max_epochs=4, callbacks=[Stop()]), DARTS(learning_rate=0.05), tmp_path)
    resumed, other = share(evaluator(max_epochs=4), DARTS(learning_rate=0.05), tmp_path)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())
    assert one.strengths() == other.strengths()
    assert one.history == other.history


def test_scores_are_of_the_model_as_it_is():
    torch.manual_seed(0)
    model = space().build({"body": "good", "act": "relu"})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    judge = Classification(loader(), loader(seed=1), max_epochs=5)
    trial = Trial(number=0, architecture={}, seed=1)
    scores = judge.score(model, trial)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    inputs, targets = loader(seed=1).dataset.tensors
    expected = (model.eval()(inputs).argmax(1) == targets).float().mean().item()
    assert scores["val_accuracy"] == pytest.approx(expected)


@pytest.mark.parametrize("module", [Own, Several])
def test_scores_may_be_of_recalibrated_models(module):
    torch.manual_seed(0)
    model = space().build({"body": "good", "act": "relu"})
    evaluator(module).score(model, Trial(number=0, architecture={}, seed=1), recalibrate=3)
    inputs = loader().dataset.tensors[0]
    statistics = model.stem[1]
    assert statistics.running_mean.abs().sum() > 0
    assert int(statistics.num_batches_tracked) == 3
    found = model.stem[0](inputs).mean(0)
    assert torch.allclose(statistics.running_mean, found, atol=0.3)


def test_only_evaluators_on_lightning_train_supernets():
    with pytest.raises(EvaluatorError, match="a one-shot method must see each batch"):
        share(FunctionalEvaluator(lambda model: 0.0), SPOS())


def test_several_devices_are_refused():
    with pytest.raises(EvaluatorError, match="under torchrun"):
        share(evaluator(devices=2, accelerator="cpu", strategy="ddp"), SPOS())


def several():
    return LightningEvaluator(Indexed, loader(), [loader(), loader(seed=1)], max_epochs=1)


class Indexed(Own):
    def validation_step(self, batch, batch_idx, dataloader_idx):
        super().validation_step(batch, batch_idx)


def test_several_loaders_are_refused_where_one_is_learnt_from():
    with pytest.raises(EvaluatorError, match="need one loader, to train and to learn by validation data; got a list"):
        share(several(), DARTS())
    recorder = Recorder()
    share(several(), SPOS(), recorder=recorder)
    assert set(recorder.reports[0][1]) >= {"val_loss/dataloader_idx_0", "val_loss/dataloader_idx_1"}


class Loading(Own):
    """Has its own data, which are there after its `setup`."""

    def setup(self, stage):
        self.batches = loader(shuffle=True) if stage == "fit" else None

    def train_dataloader(self):
        return self.batches

    def val_dataloader(self):
        return loader(seed=1)


@pytest.mark.parametrize("make", [partial(DARTS, learning_rate=0.05), SPOS])
def test_a_module_may_have_its_own_data(make):
    own, one = share(LightningEvaluator(Loading, max_epochs=2), make())
    given, other = share(LightningEvaluator(Own, loader(shuffle=True), loader(seed=1), max_epochs=2), make())
    assert all(torch.equal(value, given.state_dict()[name]) for name, value in own.state_dict().items())
    assert one.strengths() == other.strengths()


def test_scores_of_a_module_with_its_own_data_are_recalibrated():
    torch.manual_seed(0)
    model = space().build({"body": "good", "act": "relu"})
    LightningEvaluator(Loading).score(model, Trial(number=0, architecture={}, seed=1), recalibrate=3)
    assert int(model.stem[1].num_batches_tracked) == 3


class Unvalidated(Own):
    validation_step = pl.LightningModule.validation_step


@pytest.mark.parametrize(("module", "valid"), [(Own, None), (Unvalidated, loader())])
def test_without_validation_there_is_nothing_to_compare_by(module, valid):
    with pytest.raises(EvaluatorError, match="architectures are compared by validation data; give val_dataloaders"):
        share(LightningEvaluator(module, loader(), valid, max_epochs=1), SPOS())
