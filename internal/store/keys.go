package store

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"

	"ropeway/internal/diag"
)

// Where things stand in etcd. The number is the version of the arrangement.
const (
	root        = "ropeway/1/"
	newestKey   = root + "newest"     // the number of the newest revision, in decimal
	revisionsAt = root + "revisions/" // NUMBER: a revision without its files
	chunksAt    = root + "chunks/"    // NUMBER/MARK/INDEX: a piece of its files
	tokensAt    = root + "tokens/"    // HASH: a token
	tokenIDsAt  = root + "token-ids/" // ID: the hash of the token of that ID
	membersAt   = root + "members/"   // IDENTITY: a member
	standingAt  = root + "standing/"  // IDENTITY: the mark of the member, as long as it is not revoked
	rolloutKey  = root + "rollout"    // the last rollout

	authorityKey  = root + "authority"    // the pin of the authority that the fabric belongs to, in hexadecimal digits
	controllersAt = root + "controllers/" // NAME: a controller
	seenAt        = root + "seen/"        // CONTROLLER/GATEWAY: what a controller sees of a gateway
	pastKey       = root + "past"         // a number that every revision after it exceeds, in decimal
	jumpsAt       = root + "jumps/"       // NUMBER: the number of the revision that this one follows, where that is not the one before
	prunedKey     = root + "pruned"       // the number of the last revision that was removed for its age, in decimal
	endsAt        = root + "ends/"        // IDENTITY: when its newest certificate ends, in RFC 3339
)

// revisionKey sorts as numbers do: a uint64 has 20 digits at most.
func revisionKey(n uint64) string { return fmt.Sprintf("%s%020d", revisionsAt, n) }

// chunksOf is what the keys of a revision's chunks begin with, whoever wrote them.
func chunksOf(n uint64) string { return fmt.Sprintf("%s%020d/", chunksAt, n) }

// chunksBy is what those begin with that one attempt wrote, and past the first string that sorts after all of them.
func chunksBy(n uint64, mark string) (prefix, past string) {
	return chunksOf(n) + mark + "/", chunksOf(n) + mark + "0" // '0' follows '/'
}

func chunkKey(n uint64, mark string, index int) string {
	prefix, _ := chunksBy(n, mark)
	return fmt.Sprintf("%s%03d", prefix, index)
}

func tokenKey(hash [32]byte) string { return tokensAt + hex.EncodeToString(hash[:]) }

// parseNumber reads what strconv.FormatUint writes, and nothing else.
func parseNumber(text []byte) (uint64, error) {
	n, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil || n == 0 || strconv.FormatUint(n, 10) != string(text) {
		return 0, fmt.Errorf("%w: %s is no number of a revision", ErrDamaged, diag.Quote(string(text)))
	}
	return n, nil
}

// The names that tokens and members may have: nothing that could be mistaken for another, in a key, a log or on a screen.
var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@/+-]{0,254}$`)

// maxPlaces bounds how many places somebody is bound to.
const maxPlaces = 256

func checkPlaces(places []string) error {
	if len(places) > maxPlaces {
		return fmt.Errorf("%d places, and %d is the most", len(places), maxPlaces)
	}
	for _, place := range places {
		if err := checkName("place", place); err != nil {
			return err
		}
	}
	return nil
}

func checkName(what, name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("%s is no %s: letters, digits and . _ : @ / + - only, at most 255", diag.Quote(name), what)
	}
	return nil
}
