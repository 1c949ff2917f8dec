from lanista.draw.decisions import space as space
from lanista.draw.network import architecture as architecture
from lanista.draw.network import model as model
from lanista.draw.strength import strengths as strengths
