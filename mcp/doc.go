// Package mcp is the protocol: the doors through which an LLM client comes in, and nothing of what is behind them.
//
// Promise: whoever calls a tool is an agent whose token this package has checked, by one of three doors: the unix socket that the stdio
// relay speaks to (ServeConn), streamable HTTP, and HTTP+SSE for old clients (HTTPHandler). What a client receives is a tool's result,
// a *fault.Error, an Ask or a fixed sentence of ours; never the text of a foreign error or a panic, never an argument repeated. What a person
// answers to an Ask comes by their client, the model's side: it decides nothing.
//
// Attacks stopped (docs/threat-model.md): a web page that calls tools over loopback (Origin, Host, content type, bearer token); one
// client that cancels or reads what belongs to another (own bookkeeping of calls per connection, sessions bound to their agent);
// memory and time taken by size, depth, number or slowness of messages; values echoed by validation. Where several servers stand behind one address an answer or a cancel goes on to the one that serves the call, and a session's end to all, under the
// session that it came with, and counts for that session alone.
//
// mcp-go speaks the two eras of the specification; each of its known defects has a guard here, named at the place.
package mcp
