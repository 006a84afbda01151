package signer

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// A kind is where keys are.
type kind string

const (
	inFile  kind = "file"
	inAgent kind = "ssh-agent"
	inVault kind = "vault"
	inAWS   kind = "awskms"
	inGCP   kind = "gcpkms"
)

// A reference names a key. Which fields it has depends on its kind.
type reference struct {
	kind    kind
	name    string // a path; a fingerprint, a comment or nothing; the name of a key
	mount   string // Vault's
	version int    // Vault's; 0 for the newest
	region  string // AWS's; "" for the one of the configuration
}

// maxReference is more than any name of a key takes, in bytes.
const maxReference = 4096

var (
	vaultName = regexp.MustCompile(`^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+$`)
	awsName   = regexp.MustCompile(`^[A-Za-z0-9:/_-]+$`) // an id, an ARN or an alias
	awsRegion = regexp.MustCompile(`^[a-z0-9-]+$`)
	gcpName   = regexp.MustCompile(`^projects/[A-Za-z0-9.:-]+/locations/[a-z0-9-]+/keyRings/[A-Za-z0-9_-]+/cryptoKeys/[A-Za-z0-9_-]+/cryptoKeyVersions/[1-9][0-9]*$`)
)

// parse reads a reference. What it takes goes into no address unchecked: each part has no other characters than such names have.
func parse(text string) (reference, error) {
	r, fault := read(text)
	if fault != "" {
		return reference{}, problem(codeReference, text, fault)
	}
	return r, nil
}

func read(text string) (r reference, fault string) {
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok || len(text) > maxReference || strings.ContainsRune(text, 0) {
		return r, "is no reference to a key"
	}
	r = reference{kind: kind(scheme), name: rest}
	switch r.kind {
	case inFile:
		if rest == "" {
			return r, "names no file"
		}
	case inAgent:
	case inVault:
		return readVault(r)
	case inAWS:
		return readAWS(r)
	case inGCP:
		if !gcpName.MatchString(rest) {
			return r, "names no version of a key: projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/N"
		}
	default:
		return r, "is of no kind that there is"
	}
	return r, ""
}

func readVault(r reference) (reference, string) {
	path, query, _ := strings.Cut(r.name, "?")
	if !vaultName.MatchString(path) || dotted(path) {
		return r, "names no key of a transit engine: MOUNT/KEY"
	}
	version, fault := parameter(query, "version")
	if fault != "" {
		return r, fault
	}
	if version != "" {
		n, err := strconv.Atoi(version)
		if err != nil || n < 1 || strconv.Itoa(n) != version {
			return r, "has a version that is no number from 1"
		}
		r.version = n
	}
	last := strings.LastIndexByte(path, '/')
	r.mount, r.name = path[:last], path[last+1:]
	return r, ""
}

// dotted reports whether a path has a part that would lead elsewhere.
func dotted(path string) bool {
	for part := range strings.SplitSeq(path, "/") {
		if part == "." || part == ".." {
			return true
		}
	}
	return false
}

func readAWS(r reference) (reference, string) {
	name, query, _ := strings.Cut(r.name, "?")
	if !awsName.MatchString(name) {
		return r, "names no key of AWS: an id, an ARN, or alias/NAME"
	}
	region, fault := parameter(query, "region")
	if fault != "" {
		return r, fault
	}
	if region != "" && !awsRegion.MatchString(region) {
		return r, "names no region"
	}
	r.name, r.region = name, region
	return r, ""
}

// parameter returns the one parameter that a kind has; "" where it is not given.
func parameter(query, name string) (value, fault string) {
	if query == "" {
		return "", ""
	}
	values, err := url.ParseQuery(query)
	if err != nil || len(values) != 1 || len(values[name]) != 1 || values.Get(name) == "" {
		return "", "has something after its ? that is not " + name + "=…"
	}
	return values.Get(name), ""
}

// String is what parse reads; a version that was found out is in it.
func (r reference) String() string {
	text := string(r.kind) + ":"
	if r.mount != "" {
		text += r.mount + "/"
	}
	text += r.name
	if r.version > 0 {
		text += "?version=" + strconv.Itoa(r.version)
	}
	if r.region != "" {
		text += "?region=" + r.region
	}
	return text
}
