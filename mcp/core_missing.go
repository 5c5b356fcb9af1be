//go:build !mcpgo

package mcp

import "errors"

func newCore(*Server, Options) (engine, error) {
	return nil, errors.New("mcp: built without the tag mcpgo")
}
