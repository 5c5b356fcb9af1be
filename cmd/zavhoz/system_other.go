//go:build !unix

package main

import "github.com/zavhoz/zavhoz/vault/fault"

var errNoNeighbours = fault.New(fault.NotSupported, "a socket for agents of other users needs a system that tells who comes", "take agent_socket out of config.yaml; agents can come by HTTP")

func trustedFolder(string, int) error { return errNoNeighbours }

func groupID(string) (int, error) { return 0, errNoNeighbours }

// othersSocket: there is no service with a user of its own.
func othersSocket(string) bool { return false }
