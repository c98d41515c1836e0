// Package archtest holds the test that keeps the import order of ARCHITECTURE.md true.
package archtest
