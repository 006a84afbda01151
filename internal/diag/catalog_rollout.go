package diag

// rollouts returns the codes RW73xx: how a change comes to the gateways.
func rollouts() []Entry {
	return []Entry{
		{"RW7301", "A rollout is under way",
			"A change comes to the gateways in waves, and another one would begin before it is known whether that one is good.",
			"Wait for it (ropeway rollout status), or end it: ropeway rollout abort, or apply --supersede. In an emergency apply --at-once takes its place for all gateways at once."},
		{"RW7302", "No such rollout is under way",
			"Only a rollout that has not come to its end can be paused, resumed or aborted.",
			"ropeway rollout status shows the last one. To undo a change that is through, apply the file of before."},
		{"RW7303", "The rollout is not in a state for that",
			"One that is paused already cannot be paused, and one that runs not be resumed.",
			"ropeway rollout status shows how it is."},
		{"RW7304", "The rollout went back",
			"A gateway that got the new revision was not well with it, so the fabric says again what it said before, in a revision of its own. The message names the gateway and what was wrong. Gateways whose turn had not come have noticed nothing.",
			"Mend what the message says in the fabric file, or at the gateway, and apply again."},
		{"RW7305", "The rollout was overtaken",
			"While the command waited for the rollout of its revision, somebody else applied another change at once.",
			"ropeway get revisions shows who did what; ropeway rollout status shows the last rollout."},
		{"RW7306", "The gateway has nothing to try again",
			"A gateway that went back by itself from a revision (RW4020) can be sent that once more. This one is not connected, or did not go back from what it should follow.",
			"ropeway status says how it is, and what to do."},
		{"RW7307", "A plan is kept back",
			"The plan of the newest revision says something that the agent of the gateway does not know: it is of an earlier version than the controller. It is not sent; the gateway goes on with the plan that it has. In a rollout this is what makes it fail.",
			"Upgrade ropeway-gateway on the machine: it gets the plan as soon as the new agent asks. Or take out of the fabric file what the older agent does not know."},
		{"RW7308", "The gateway is connected to another controller",
			"Only the controller that a gateway is connected to can send it something.",
			"ropeway rollout retry, gateway drain and undrain ask every controller by themselves. Where they say this all the same, the gateway moved in the same moment: do it once more."},
		{"RW7309", "The gateway does not answer now",
			"What is asked of a gateway, or what it is asked to do, is passed on while it is connected, and kept nowhere. This one is not connected, others ask it, or it took too long; then it may have done what it was asked.",
			"`ropeway get gateways` says whether it is there, and `ropeway status` whether it is drained. To ask again does no harm; on its machine ropeway-gateway does the same without a controller."},
		{"RW7310", "The agent cannot be asked by way of a controller",
			"Its agent is of a version that reports and takes plans, and does nothing else for people.",
			"Upgrade ropeway-gateway on its machine; until then, run ropeway-gateway neighbors, routes, drain or undrain there."},
	}
}
