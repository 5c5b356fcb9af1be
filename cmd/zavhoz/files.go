package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// hashFile is the SHA-256 of a file in hex.
func hashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// absolute makes a path found through PATH absolute.
func absolute(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return name
}

// auditKey decodes an audit key; "" gives nil.
func auditKey(hexKey string) (ed25519.PublicKey, error) {
	if hexKey == "" {
		return nil, nil
	}
	b, err := hex.DecodeString(hexKey)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fault.New(fault.InvalidArgument, "an audit key is 64 hex digits", "`zavhoz status --json` shows the vault's")
	}
	return b, nil
}
