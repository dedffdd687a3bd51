// Package stack has the tests of the example.
package stack
