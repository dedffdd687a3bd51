// Package dockertest runs tests with a real Docker daemon of their own, in namespaces of their own: no test meets the machine's Docker,
// and nothing is left behind, not even by a test that is killed. Linux only, and root only.
package dockertest
