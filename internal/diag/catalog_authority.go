package diag

// authority returns the codes RW71xx: what a controller is trusted for.
func authority() []Entry {
	return []Entry{
		{"RW7101", "A secret of the controller may have been exposed",
			"The directory of the authority or a file in it belongs to another user than the one that runs this program, has a mode that lets others use it, or is a link. Whoever has these keys can be anybody and sign any plan. What others could read may have been read, so it is refused rather than mended.",
			"Find out who could read it. If nobody did, give it to the controller's user and set mode 0700 on the directory and 0600 on its files. Otherwise begin with a new directory and enroll everybody again."},
		{"RW7102", "The authority is damaged",
			"A file of it is missing, cut, or does not belong to the others. Nothing is made again in its place: clients pinned the key of this authority, gateways follow what this key signed, and neither would believe another one.",
			"Restore the directory as a whole from a backup."},
		{"RW7103", "The authority's directory cannot be used",
			"It cannot be made, opened or written.",
			"Check its file system, its owner, and the user that the controller runs as."},
		{"RW7104", "The authority belongs to another fabric",
			"The certificate in the directory is that of another fabric or cluster. Its identities are not this one's.",
			"Start the controller with the directory of its own fabric."},
		{"RW7105", "The authority's certificate is not valid now",
			"Either the clock is wrong, or the ten years are over for which it was made.",
			"Set the clock. Where it is right, begin with a new directory and enroll everybody again."},
		{"RW7106", "A CA that cannot be taken",
			"What `ropewayd authority init --ca-cert FILE --ca-key FILE` takes is a CA of ECDSA P-256 that signs no further CA, was made for this fabric (the common name of its subject is `Ropeway authority of FABRIC`), and is valid now. Its key is readable for the controller's user alone.",
			"The message says what it is instead. Nothing was taken."},
	}
}
