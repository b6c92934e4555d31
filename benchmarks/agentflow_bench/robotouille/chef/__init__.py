"""The rule-based planner of Robotouille: a beam search over the real state, checked by the simulator.

`plan_actions(kitchen)` gives the actions from any state to the goal; `Chef` is the agent that follows them.
`model.py` is the state in few numbers, `moves.py` what can be done next, `dishes.py` the goal, `errand.py`
and `estimate.py` what is still to go, `search.py` the search, `reading.py` the way from and to the simulator.
"""

from agentflow_bench.robotouille.chef.chef import Chef
from agentflow_bench.robotouille.chef.plan import plan_actions

__all__ = ["Chef", "plan_actions"]
