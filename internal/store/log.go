package store

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logger lets etcd, which speaks zap, write to a slog.Logger. What it says of its daily life is for whoever debugs.
func logger(to *slog.Logger, removed *atomic.Bool) *zap.Logger {
	all := zapcore.NewTee(core{to.With("component", "etcd").Handler()}, farewell{zapcore.NewNopCore(), removed})
	return zap.New(all, zap.ErrorOutput(zapcore.AddSync(io.Discard)))
}

// ofRemoval is what an etcd says last that hears from others that it was removed. It says it nowhere else: that it was is no part of its own data yet.
const ofRemoval = "data-dir used by this member must be removed"

// farewell listens for that.
type farewell struct {
	zapcore.Core
	heard *atomic.Bool
}

// Enabled implements zapcore.Core.
func (farewell) Enabled(l zapcore.Level) bool { return l == zapcore.WarnLevel }

// Check implements zapcore.Core.
func (f farewell) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if e.Message == ofRemoval {
		f.heard.Store(true)
	}
	return checked
}

// With implements zapcore.Core.
func (f farewell) With([]zapcore.Field) zapcore.Core { return f }

// ofPorts is a warning that etcd gives at every start where no port serves HTTP to clients: here none serves anything.
const ofPorts = "Running http and grpc server on single port. This is not recommended for production."

// core implements zapcore.Core.
type core struct{ to slog.Handler }

func level(l zapcore.Level) slog.Level {
	switch {
	case l < zapcore.WarnLevel:
		return slog.LevelDebug
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// Enabled implements zapcore.LevelEnabler. What etcd calls debugging is of no use to anybody else.
func (c core) Enabled(l zapcore.Level) bool {
	return l > zapcore.DebugLevel && c.to.Enabled(context.Background(), level(l))
}

// With implements zapcore.Core.
func (c core) With(fields []zapcore.Field) zapcore.Core { return core{c.to.WithAttrs(attrs(fields))} }

// Check implements zapcore.Core.
func (c core) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) && e.Message != ofPorts {
		return checked.AddCore(e, c)
	}
	return checked
}

// Write implements zapcore.Core.
func (c core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	record := slog.NewRecord(e.Time, level(e.Level), e.Message, 0)
	record.AddAttrs(attrs(fields)...)
	return c.to.Handle(context.Background(), record)
}

// Sync implements zapcore.Core.
func (core) Sync() error { return nil }

func attrs(fields []zapcore.Field) []slog.Attr {
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	out := make([]slog.Attr, 0, len(enc.Fields))
	for _, name := range slices.Sorted(maps.Keys(enc.Fields)) {
		out = append(out, slog.Any(name, enc.Fields[name]))
	}
	return out
}
