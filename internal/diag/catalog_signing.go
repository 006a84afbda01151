package diag

// signing returns the codes RW78xx: plans that are signed outside the controllers.
func signing() []Entry {
	return []Entry{
		{"RW7801", "The change is not signed",
			"The key that signs the plans of this fabric is kept outside its controllers, and what is to be applied came without a signature: no signer was named, or an older ropeway sent it, or somebody who is bound to places, who cannot sign for all of the fabric.",
			"Name what signs with --signer or ROPEWAY_SIGNER: docs/signing.md. Whoever is bound to places has somebody apply it who has the key."},
		{"RW7802", "A revision is not signed as it is compiled here",
			"The signature that came with a revision is not one over the plans that this controller makes of it. Controllers of another version may compile a file to something else, the store may have been changed by somebody else, or the key was taken out of the controllers and nobody has signed since. Nothing of the revision is handed out; gateways keep what they have.",
			"ropeway sign, with a ropeway of the same version as the controllers, shows what would change and signs it."},
		{"RW7803", "Something else was signed",
			"The signature is none over what the controller makes of the file: somebody enrolled or changed the fabric in the same moment, ropeway is of another version than the controller, or one of the two is not what it should be. Nothing was changed.",
			"Apply once more. If it happens again compare ropeway version and ropewayd version."},
		{"RW7804", "The rollout cannot go back by itself",
			"A rollout goes back by a revision of its own, which has to be signed as any other. It is, together with the change, for an hour. That hour is over, other revisions came in between, or the change was applied by somebody who signed no way back. The rollout is paused: nothing more is admitted.",
			"ropeway rollback REVISION --at-once signs the way back; ropeway rollout resume goes on in spite of it."},
		{"RW7805", "The controller wants another file signed",
			"What the controller asked a signature for is not the file that was sent to it. No controller does so by mistake.",
			"Sign nothing. Find out who has taken the controller over."},
		{"RW7806", "Another key",
			"The signer that was named has another key than the one that gateways pinned when they enrolled. They would follow nothing that it signs.",
			"Name the signer that has the key with the fingerprint that the message says."},
		{"RW7807", "New keys that nobody looked at",
			"A signature vouches for the WireGuard key of every gateway, and whoever has a controller could put in his own. With --auto-approve no person compares them, so each key that was not signed before is to be named.",
			"Compare the keys with what \"ropeway-gateway key\" says on each gateway, and name them with --vouch NAME=KEY; or leave out --auto-approve and compare what is shown."},
		{"RW7808", "The controller shows less than was signed",
			"The newest revision that the controller tells of is older than one that you have signed. It may have been restored from a backup. Or somebody who has taken it over would have a peer come back that left since.",
			"After a restore, remove the file that the message names and look at the whole difference. If nobody restored it, sign nothing."},
	}
}
