import logging
import math

import pytest
import torch
from torch import nn

from lanista.errors import OneShotError
from lanista.oneshot.distillation import Distillation, soft

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(6) % 3


def model(seed):
    torch.manual_seed(seed)
    return nn.Linear(4, 3)


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 2), (5, 3, 2, 4)])
def test_soft_labels_are_torchs_cross_entropy_with_probabilities(shape):
    student, teacher = torch.randn(shape), torch.randn(shape)
    expected = nn.functional.cross_entropy(student, teacher.softmax(1))
    assert torch.allclose(soft(student, teacher), expected)
    assert soft(teacher, teacher) < soft(student, teacher)


def test_a_student_learns_what_the_teacher_says_and_the_teacher_nothing():
    teacher, student, distillation = model(0), model(1), Distillation("soft")
    assert torch.equal(distillation.teach(teacher, loss, (X, Y)), loss(teacher, (X, Y)))
    value = distillation.learn(student, loss, (X, Y))
    assert torch.allclose(value, soft(student(X), teacher(X)))
    value.backward()
    assert student.weight.grad.any()
    assert teacher.weight.grad is None
    for watched in (teacher, student):
        assert not watched._forward_hooks


def test_the_users_loss_can_count_too():
    distillation, teacher, student = Distillation("soft"), model(0), model(1)
    distillation.teach(teacher, loss, (X, Y))
    value = distillation.learn(student, loss, (X, Y), hard=0.5)
    assert torch.allclose(value, soft(student(X), teacher(X)) + 0.5 * loss(student, (X, Y)))


def test_without_distillation_students_learn_from_the_loss():
    distillation = Distillation(None)
    distillation.teach(model(0), loss, (X, Y))
    assert torch.equal(distillation.learn(model(1), loss, (X, Y)), loss(model(1), (X, Y)))


def shaped(*shape):
    """A model that gives outputs of this shape for each input, whatever the input is."""
    torch.manual_seed(len(shape))
    layer = nn.Linear(4, math.prod(shape))
    return nn.Sequential(layer, nn.Unflatten(1, shape)) if shape else nn.Sequential(nn.Linear(4, 1), nn.Flatten(0))


def integers(*shape):
    return torch.ones(shape, dtype=torch.int64)


@pytest.mark.parametrize(
    ("shape", "targets", "classes"),
    [
        ((3,), integers(6), True),
        ((3, 5, 2), integers(6, 5, 2), True),
        ((3,), torch.ones(6, 3), False),  # numbers
        ((3,), integers(6, 3), False),  # several labels
        ((5, 3), integers(6, 5), False),  # classes come last
        ((1,), integers(6), False),
        ((), integers(6), False),
        ((3,), None, False),
    ],
)
def test_which_targets_are_classes_is_seen(shape, targets, classes, caplog):
    distillation, teacher, student = Distillation("auto"), shaped(*shape), shaped(*shape)
    batch = (X, targets) if targets is not None else X

    def mean(model, batch):
        return model(batch[0] if isinstance(batch, tuple) else batch).square().mean()

    with caplog.at_level(logging.INFO, "lanista"):
        distillation.teach(teacher, mean, batch)
        values = [distillation.learn(student, mean, batch, hard=hard) for hard in (0.0, 1.0)]
    likeness = soft(student(X), teacher(X)) if classes else 0.0
    assert torch.allclose(values[0], likeness if classes else mean(student, batch))
    assert torch.allclose(values[1], mean(student, batch) + likeness)
    assert caplog.text.count("no soft labels") == (not classes)


def test_a_function_of_both_outputs_may_be_anything():
    class Two(nn.Module):
        def __init__(self, seed):
            super().__init__()
            self.main = model(seed)

        def forward(self, x):
            return {"logits": self.main(x), "twice": 2 * self.main(x)}

    def likeness(student, teacher):
        assert not teacher["twice"].requires_grad
        return (student["twice"] - teacher["twice"]).square().mean()

    def first(model, batch):
        return nn.functional.cross_entropy(model(batch[0])["logits"], batch[1])

    distillation, teacher, student = Distillation(likeness), Two(0), Two(1)
    distillation.teach(teacher, first, (X, Y))
    expected = (2 * student.main(X) - 2 * teacher.main(X)).square().mean()
    assert torch.allclose(distillation.learn(student, first, (X, Y)), expected)
    with pytest.raises(OneShotError, match=r"the model gives dict.*distillation=None, or a function"):
        distillation = Distillation("soft")
        distillation.teach(teacher, first, (X, Y))
        distillation.learn(student, first, (X, Y))


def test_each_call_of_the_model_is_compared():
    def both(model, batch):
        return loss(model, batch) + loss(model, (-batch[0], batch[1]))

    distillation, teacher, student = Distillation("soft"), model(0), model(1)
    distillation.teach(teacher, both, (X, Y))
    expected = (soft(student(X), teacher(X)) + soft(student(-X), teacher(-X))) / 2
    assert torch.allclose(distillation.learn(student, both, (X, Y)), expected)


def test_what_cannot_be_distilled_is_said():
    distillation = Distillation("soft")

    def around(model, batch):
        return nn.functional.cross_entropy(model.forward(batch[0]), batch[1])

    distillation.teach(model(0), around, (X, Y))
    with pytest.raises(OneShotError, match="the teacher 0 times and the student 0 times"):
        distillation.learn(model(1), around, (X, Y))
    distillation.teach(model(0), loss, (X, Y))
    with pytest.raises(OneShotError, match="the teacher 1 times and the student 0 times"):
        distillation.learn(model(1), around, (X, Y))
    flat = nn.Sequential(model(0), nn.Flatten(0))
    distillation.teach(flat, lambda model, batch: model(batch[0]).mean(), (X, Y))
    with pytest.raises(OneShotError, match=r"the model gives shape \(18,\), and soft labels are for logits"):
        distillation.learn(flat, lambda model, batch: model(batch[0]).mean(), (X, Y))
    distillation.teach(shaped(1), loss, (X, 0 * Y))
    with pytest.raises(OneShotError, match=r"the model gives shape \(6, 1\).*at least two classes; .*mse_loss"):
        distillation.learn(shaped(1), loss, (X, 0 * Y))
    with pytest.raises(OneShotError, match="distillation is 'hard'; give 'auto', 'soft', None, or a function"):
        Distillation("hard")
