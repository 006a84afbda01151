package tune

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"ropeway/internal/files"
)

// memory is the settings that were changed, by key, and what they were.
type memory map[string]entry

// An entry is one setting: what it was before the first change, and what it was set to last.
type entry struct {
	Before string `json:"before"`
	Set    string `json:"set"`
}

func (m memory) keys() []string { return slices.Sorted(maps.Keys(m)) }

// remember notes a change before it is made. A setting that does not exist has nothing to remember.
func (m memory) remember(c Change) {
	e, known := m[c.Key]
	if !known {
		e.Before = c.From
	}
	if e.Set = c.To; e.Before != "" {
		m[c.Key] = e
	}
}

// maxMemory bounds the state file, in bytes.
const maxMemory = 1 << 20

// loadMemory reads the state file; without one nothing was changed. A file that cannot be read is an error: going on would forget what to restore.
func loadMemory(path string) (memory, error) {
	data, err := files.Read(path, maxMemory)
	if errors.Is(err, os.ErrNotExist) {
		return memory{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the previous settings: %w", err)
	}
	m := memory{}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return nil, fmt.Errorf("read the previous settings from %s: %w", path, err)
	}
	if m == nil { // the file says null
		m = memory{}
	}
	for k, e := range m {
		if !validKey.MatchString(k) || !validValue.MatchString(e.Before) || !validValue.MatchString(e.Set) {
			return nil, fmt.Errorf("read the previous settings from %s: an entry is no setting with its values", path)
		}
	}
	return m, nil
}

// save replaces the state file by a new one, on the disk before it counts. An empty memory has no file.
func (m memory) save(path string) error {
	if len(m) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("forget the previous settings: %w", err)
		}
		return nil
	}
	if err := m.write(path); err != nil {
		return fmt.Errorf("remember the previous settings: %w", err)
	}
	return nil
}

func (m memory) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return files.Replace(path, append(data, '\n'), 0o644)
}
