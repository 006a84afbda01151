//go:build !amd64

package skew

func replacement(int64) ([]byte, error) { return nil, ErrArchitecture }
