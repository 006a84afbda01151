// Package build says which build of Ropeway this is.
package build

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"ropeway/internal/console"
)

// Set by the linker (-X), from the Makefile; empty in a plain go build, where Read falls back on what the toolchain recorded.
var version, commit, date string

// Info describes a build.
type Info struct {
	Version  string `json:"version"`        // "v0.1.0", "v0.1.0-3-gabcdef", or "devel"
	Commit   string `json:"commit"`         // of Git, or "unknown"
	Date     string `json:"date,omitempty"` // of that commit, RFC 3339
	Go       string `json:"go"`             // version of the toolchain
	Platform string `json:"platform"`       // "linux/amd64"
}

// Read returns what is known of the running program.
func Read() Info {
	info := Info{version, commit, date, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	if recorded, ok := debug.ReadBuildInfo(); ok {
		for _, s := range recorded.Settings {
			switch {
			case s.Key == "vcs.revision" && info.Commit == "":
				info.Commit = s.Value
			case s.Key == "vcs.time" && info.Date == "":
				info.Date = s.Value
			}
		}
	}
	if info.Version == "" {
		info.Version = "devel"
	}
	if info.Commit == "" {
		info.Commit = "unknown"
	}
	return info
}

// String returns one line.
func (i Info) String() string {
	at := ""
	if i.Date != "" {
		at = ", " + i.Date
	}
	return i.Version + " (" + i.Commit + at + ", " + i.Go + ", " + i.Platform + ")"
}

// Print writes what is known of a program, for its command "version".
func Print(w io.Writer, program string, format console.Format) error {
	info := Read()
	if format != console.Text {
		return console.Encode(w, format, info)
	}
	if _, err := fmt.Fprintln(w, program, info); err != nil {
		return fmt.Errorf("write the version: %w", err)
	}
	return nil
}
