package diag

// changing returns the codes RW75xx: changing and seeing a fabric that a controller keeps.
func changing() []Entry {
	return []Entry{
		{"RW7501", "A saved plan is damaged",
			"The file was cut or changed after `ropeway plan --out` wrote it, or another version wrote it. Its checksum tells.",
			"Save it again: `ropeway plan FILE --out PLANFILE`."},
		{"RW7502", "A saved plan is not what would happen",
			"It is of another fabric than the controller keeps, or what it would change is not any more what you looked at, although no revision came in between: a gateway enrolled that no fabric had, or the controller is of another version. Nothing was changed.",
			"Look at it again, and save it again: `ropeway plan FILE --out PLANFILE`."},
		{"RW7503", "No such revision",
			"Revisions are numbered from 1, without a gap.",
			"`ropeway history` lists them."},
		{"RW7504", "The controller keeps no fabric yet",
			"Nothing was applied yet, so there is nothing to look at.",
			"`ropeway apply FILE`."},
		{"RW7505", "No such member",
			"Nobody of that role and name was ever let in.",
			"`ropeway member list` shows who was. A gateway is named gateway/NAME, a person by role: operator/NAME."},
		{"RW7506", "You cannot put yourself out",
			"An administrator who revokes himself may be the last one, and then nobody lets anybody in any more.",
			"Let another administrator do it."},
		{"RW7507", "The fabric has nothing of that name",
			"The name is neither of a thing of that kind nor of what it belongs to.",
			"The same command without a name lists what there is."},
		{"RW7508", "The revision was old, and is gone",
			"Controllers keep the last 1,000 revisions at least, and whatever was made within 90 days before the newest. Older ones go, with their files.",
			"`ropeway audit list --revision NUMBER` tells who made it, and why. Its file is where you keep your files, or in a backup of that time."},
	}
}
