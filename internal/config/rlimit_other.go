//go:build !unix

package config

// openFiles is how many files this process may open. Where the system has no such limit, a million stands for none.
func openFiles() int { return 1_000_000 }
