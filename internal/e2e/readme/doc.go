// Package readme keeps the README true: its commands are run and must print what it shows, its protos are compiled and
// served, its JavaScript runs in browsers, its pictures are the demo's, and its translation has the same blocks.
//
// Everything runs on free ports. The addresses that the README names are replaced in commands, and put back in what
// they print.
package readme
