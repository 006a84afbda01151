package sink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"ropeway/internal/diag"
	"ropeway/internal/files"
)

// A Bookmark says how far a sink came: which event is the next, and what the last one was, so that another log with as many events (a store that
// was restored) is not mistaken for this one.
type Bookmark struct {
	Log  string    `json:"log"`
	Next int64     `json:"next"`
	Last tlog.Hash `json:"last"` // of the leaf before Next
}

const maxBookmark = 4 << 10 // bytes

// OpenBookmark reads the bookmark of a sink in a directory. Where there is none, it is at the beginning of the log.
func OpenBookmark(dir, log, sink string) (Bookmark, error) {
	b, path := Bookmark{Log: log}, bookmarkPath(dir, sink)
	data, err := files.Read(path, maxBookmark)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, err
	}
	var read Bookmark
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&read); err != nil || read.Next < 0 {
		return b, fmt.Errorf("%s is not how far a sink came: remove it, and the whole log is sent once more", diag.Quote(path))
	}
	if read.Log != log {
		return b, nil // that of another fabric
	}
	return read, nil
}

// Save keeps the bookmark, in a directory that is there.
func (b Bookmark) Save(dir, sink string) error {
	data, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return files.Replace(bookmarkPath(dir, sink), append(data, '\n'), 0o600)
}

func bookmarkPath(dir, sink string) string { return filepath.Join(dir, sink+".json") }
