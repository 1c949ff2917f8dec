from lanista.scheduler.base import Scheduler as Scheduler
from lanista.scheduler.halving import ASHA as ASHA
from lanista.scheduler.hyperband import Hyperband as Hyperband
from lanista.scheduler.median import MedianStop as MedianStop
from lanista.scheduler.study import OptunaScheduler as OptunaScheduler
