package controller

import (
	stdlog "log"
	"log/slog"
	"strings"
)

// quiet takes what net/http says of single connections: strangers cause it, as many lines as they like.
func quiet(log *slog.Logger) *stdlog.Logger { return stdlog.New(debugLines{log}, "", 0) }

type debugLines struct{ log *slog.Logger }

func (d debugLines) Write(line []byte) (int, error) {
	d.log.Debug("connection", "error", strings.TrimSpace(string(line)))
	return len(line), nil
}
