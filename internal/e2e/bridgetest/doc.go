// Package bridgetest tests the whole bridge as its users meet it: settings read from YAML, real gRPC servers, real
// sockets, and a client that reads what comes. What one package promises is tested beside that package; here is what
// they promise together, and what a user is told when something is wrong.
//
// No test measures time. Waits end when what is waited for has happened; guard only ends a test that hangs.
package bridgetest
