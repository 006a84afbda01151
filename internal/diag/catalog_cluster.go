package diag

// cluster returns the codes RW72xx: the store, several controllers, and backups.
func cluster() []Entry {
	return []Entry{
		{"RW7200", "The store is full",
			"What the store takes on disk has come to its quota. It refuses whatever would make it larger, and goes on reading and removing; gateways go on. Space that nothing uses any more is reclaimed by itself within two minutes.",
			"If it stays so, start every controller with a larger --quota, as far as their disks go. ropeway cluster status shows what is used."},
		{"RW7201", "The store does not answer",
			"The controllers that are there, as far as this one reaches them, are no majority, or the disk is too slow. A change that ended so may have happened all the same: look before you repeat it.",
			"Bring controllers back until most of them are there. ropeway cluster status shows which are. Gateways go on as they are."},
		{"RW7202", "The directory is in use",
			"Another process has the store of this directory open.",
			"End it, or give this one a directory of its own."},
		{"RW7203", "The store is damaged",
			"The store holds what Ropeway never wrote there, or what a newer version wrote.",
			"Remove this controller, and let it join again with an empty directory. If all of them say so, restore a backup."},
		{"RW7204", "The files are too large",
			"A fabric file and its lock take 64 MiB at most.",
			"Make the file smaller."},
		{"RW7205", "Too few controllers would be left",
			"Of three controllers two have to be there, of five three. Removing or adding one now would leave too few that are there, and nobody could change anything any more, not even that.",
			"Bring the others back first, or add a controller before you remove one. One that started just now counts after some seconds."},
		{"RW7206", "Another controller is joining",
			"A controller that was admitted learns what the others know before it counts. One does so at a time.",
			"Wait until it has come. If it never will, remove it: ropeway cluster status shows it, by an ID where it has no name yet."},
		{"RW7207", "This controller was removed",
			"Somebody removed it from its cluster, so the others do not speak with it any more, and what it holds may be old.",
			"Let it join anew, with an empty directory and a token of ropeway token create --controller NAME."},
		{"RW7208", "The store belongs to another authority",
			"All controllers of a fabric are one authority: the same keys. The one in this directory is another one than that of the store, so every gateway and every person would take this controller for a stranger.",
			"Give it the right one: let it join (--join), or copy the directory \"authority\" of another controller."},
		{"RW7209", "No controller can be reached there",
			"The address at which the others are to reach the store of a controller is none: it is https, a host and a port, or http on the loopback.",
			"Name it as https://HOST:PORT."},
	}
}
