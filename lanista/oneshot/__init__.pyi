from lanista.oneshot.cost import Penalty as Penalty
from lanista.oneshot.darts import DARTS as DARTS
from lanista.oneshot.found import Found as Found
from lanista.oneshot.inherited import Inherited as Inherited
from lanista.oneshot.method import Method as Method
from lanista.oneshot.network import Network as Network
from lanista.oneshot.spos import SPOS as SPOS
from lanista.oneshot.supernet import Supernet as Supernet
